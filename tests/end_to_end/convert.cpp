// linden convert from the command line.
#include "models/formula_weights.h"  // before Catch2: LibTorch's logging has a CHECK of its own

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "core/files.h"
#include "io/safetensors_set.h"
#include "models/wan_config.h"
#include "tests/support/support.h"

using namespace linden;
using Catch::Matchers::ContainsSubstring;

TEST_CASE("linden convert: to the original layout and back, byte by byte", "[e2e]") {
  const test::TemporaryFolder folder;
  const std::string config = read_text_file("tests/golden/models/wan_config.json");
  NamedTensors tensors;
  for (const auto& [name, shape] : wan_shapes(wan_sizes(config, "config"), WanNaming::kDiffusers)) tensors[name] = formula_tensor(name, shape, 3);
  std::filesystem::create_directories(folder / "source");
  write_file_atomically(folder / "source/config.json", config);
  save_safetensors(folder / "source/diffusion_pytorch_model.safetensors", tensors, {{"format", "pt"}});
  const auto convert = [&](const std::string& words) { return test::run_linden("convert " + words); };
  const auto in = [&](const std::string& name) { return (folder / name).string(); };

  const auto dry = convert(in("source") + " " + in("original") + " --to original --max-shard-size 20KB --dry-run");
  INFO(dry.output);
  CHECK(dry.exit_code == 0);
  CHECK_THAT(dry.output, ContainsSubstring("(diffusers, 69 tensors in 1 file)"));
  CHECK_THAT(dry.output, ContainsSubstring("diffusion_pytorch_model-00001-of-0000"));
  CHECK_THAT(dry.output, ContainsSubstring("\"num_heads\": 2"));
  CHECK(!std::filesystem::exists(folder / "original"));

  CHECK(convert(in("source") + " " + in("original") + " --to original --max-shard-size 20KB").exit_code == 0);
  CHECK(SafetensorsSet(folder / "original").num_files() > 1);
  const auto again = convert(in("source") + " " + in("original") + " --to original");
  CHECK(again.exit_code == 2);
  CHECK_THAT(again.output, ContainsSubstring("original: exists already"));
  CHECK(convert(in("original") + " " + in("back") + " --to diffusers").exit_code == 0);
  for (const char* file : {"config.json", "diffusion_pytorch_model.safetensors"})
    CHECK(read_text_file(folder.path / "back" / file) == read_text_file(folder.path / "source" / file));

  CHECK_THAT(convert(in("source")).output, ContainsSubstring("got 1 path(s), wanted a source and a target"));
  CHECK_THAT(convert(in("source") + " x").output, ContainsSubstring("--to is missing"));
  CHECK_THAT(convert(in("source") + " x --to comfy").output, ContainsSubstring("--to is 'comfy', wanted diffusers or original"));
  CHECK_THAT(convert("configs x --to original").output, ContainsSubstring("there is no config.json"));
}
