// scripts/check_layers on small trees that break one rule each.
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <fstream>

#include "tests/support/support.h"

using Catch::Matchers::ContainsSubstring;
using linden::test::run_shell;

namespace {

// A tree of src/core/a.h, src/align/a.h, src/transfer/a.h, csrc/cuda/scale/launch.h, tests/support/a.h and one more
// file.
linden::test::CommandResult check_with(const std::string& file, const std::string& include) {
  linden::test::TemporaryFolder root;
  for (const std::string header : {"src/core/a.h", "src/ops/a.h", "src/align/a.h", "src/transfer/a.h", "csrc/cuda/scale/launch.h", "tests/support/a.h"}) {
    std::filesystem::create_directories((root / header).parent_path());
    std::ofstream(root / header) << "#pragma once\n#include <string>\n";
  }
  std::filesystem::create_directories((root / file).parent_path());
  std::ofstream(root / file) << "// A file.\n#include " << include << "\n";
  return run_shell("scripts/check_layers " + root.path.string());
}

}  // namespace

TEST_CASE("the repository keeps the order of its folders", "[unit]") {
  const auto result = run_shell("scripts/check_layers");
  INFO(result.output);
  CHECK(result.exit_code == 0);
}

TEST_CASE("check_layers passes what goes down", "[unit]") {
  for (const auto& [file, include] : std::vector<std::pair<std::string, std::string>>{{"src/align/b.cpp", "\"core/a.h\""},
                                                                                      {"src/align/b.cpp", "\"align/a.h\""},
                                                                                      {"src/ops/b.cpp", "\"csrc/cuda/scale/launch.h\""},
                                                                                      {"src/core/b.cpp", "<torch/torch.h>"},
                                                                                      {"csrc/cuda/scale/b.cu", "\"csrc/cuda/scale/launch.h\""},
                                                                                      {"tests/align/b.cpp", "\"tests/support/a.h\""}}) {
    const auto result = check_with(file, include);
    INFO(result.output);
    CHECK(result.exit_code == 0);
  }
}

TEST_CASE("check_layers names each include that goes up, sideways, or nowhere", "[unit]") {
  struct Case {
    std::string file, include, reason;
  };
  for (const Case& c : std::vector<Case>{
           {"src/core/b.cpp", "\"align/a.h\"", "align stands above core"},
           {"src/align/b.cpp", "\"transfer/a.h\"", "transfer stands beside align"},
           {"src/transfer/b.h", "\"align/a.h\"", "align stands beside transfer"},
           {"src/core/b.cpp", "\"csrc/cuda/scale/launch.h\"", "core stands below ops"},
           {"src/align/b.cpp", "\"tests/support/a.h\"", "src/ never includes tests/"},
           {"src/align/b.cpp", "\"nowhere/a.h\"", "there is no such file"},
           {"src/align/b.cpp", "\"a.h\"", "name the folder: \"align/a.h\""},
           {"csrc/cuda/scale/b.cu", "<ATen/core/Tensor.h>", "kernels never see LibTorch"},
           {"csrc/cuda/scale/b.cu", "\"core/a.h\"", "kernels never see src/"},
       }) {
    const auto result = check_with(c.file, c.include);
    CHECK(result.exit_code == 1);
    CHECK_THAT(result.output, ContainsSubstring(c.file + ":2: #include " + c.include + "  (" + c.reason));
  }
  const auto folder = check_with("src/attic/b.cpp", "<string>");
  CHECK(folder.exit_code == 1);
  CHECK_THAT(folder.output, ContainsSubstring("src/attic: this folder has no place in the order"));
}
