// Wan checkpoints in both layouts: config, files, what does not fit, and the way there and back.
#include "models/wan_checkpoint.h"

#include <ATen/ATen.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <fstream>
#include <set>
#include <sstream>

#include "core/error.h"
#include "core/files.h"
#include "core/progress.h"
#include "io/digest.h"
#include "models/formula_weights.h"
#include "models/wan_config.h"
#include "models/wan_convert.h"
#include "tests/support/support.h"

using namespace linden;
using Catch::Matchers::ContainsSubstring;
using test::message_of;
using test::TemporaryFolder;

namespace {

namespace fs = std::filesystem;

constexpr WanNaming kD = WanNaming::kDiffusers, kO = WanNaming::kOriginal;
const std::string kGolden = "tests/golden/models/";
const std::string kWeights = "diffusion_pytorch_model.safetensors";

std::string tiny_config() { return read_text_file(kGolden + "wan_config.json"); }

NamedTensors tiny_tensors() {
  NamedTensors tensors;
  for (const auto& [name, shape] : wan_shapes(wan_sizes(tiny_config(), "config"), kD)) tensors[name] = formula_tensor(name, shape, 7);
  return tensors;
}

// The folder of diffusers that the reference wrote for the goldens.
void write_tiny(const fs::path& folder, const NamedTensors& tensors = tiny_tensors(), const std::string& config = tiny_config()) {
  fs::create_directories(folder);
  write_file_atomically(folder / "config.json", config);
  save_safetensors(folder / kWeights, tensors, {{"format", "pt"}});
}

using Digests = std::map<std::string, std::string>;

Digests digests_of(const fs::path& folder) {
  Digests digests;
  for (const auto& item : fs::directory_iterator(folder)) {
    const std::string bytes = read_text_file(item.path());
    digests[item.path().filename().string()] = sha256_hex(std::as_bytes(std::span(bytes)));
  }
  return digests;
}

Digests golden_digests(const std::string& kind) {
  std::ifstream file(kGolden + "wan_files.tsv");
  Digests digests;
  for (std::string found, name, digest; file >> found >> name >> digest;)
    if (found == kind) digests[name] = digest;
  return digests;
}

void convert(const fs::path& source, const fs::path& target, WanNaming to, uint64_t max_shard_bytes = 5'000'000'000, std::optional<at::ScalarType> dtype = {}) {
  write_conversion(WanCheckpoint(source), {to, dtype, max_shard_bytes}, target);
}

std::string replaced(std::string text, const std::string& part, const std::string& by) {
  const size_t at = text.find(part);
  REQUIRE(at != std::string::npos);
  return text.replace(at, part.size(), by);
}

}  // namespace

TEST_CASE("files of diffusers come back byte by byte from the original layout", "[golden]") {
  const TemporaryFolder folder;
  write_tiny(folder / "source");
  Digests source = digests_of(folder / "source");
  CHECK(source.at(kWeights) == golden_digests("whole").at(kWeights));  // what save_pretrained wrote

  convert(folder / "source", folder / "original", kO);
  CHECK(WanCheckpoint(folder / "original").naming() == kO);
  CHECK(SafetensorsFile(folder / ("original/" + kWeights)).contains("blocks.1.norm3.bias"));
  convert(folder / "original", folder / "back", kD);
  CHECK(digests_of(folder / "back") == source);

  convert(folder / "original", folder / "shards", kD, 4000);
  Digests shards = digests_of(folder / "shards");
  CHECK(shards.erase("config.json") == 1);
  CHECK(shards == golden_digests("sharded"));  // split and named as save_pretrained(max_shard_size="4KB") does
  convert(folder / "shards", folder / "original_shards", kO, 4000);
  convert(folder / "original_shards", folder / "shards_back", kD, 4000);
  CHECK(digests_of(folder / "shards_back") == digests_of(folder / "shards"));
  convert(folder / "shards_back", folder / "whole_again", kD);
  CHECK(digests_of(folder / "whole_again") == source);
}

TEST_CASE("bf16 is what diffusers writes after loading in bf16", "[golden]") {
  const TemporaryFolder folder;
  write_tiny(folder / "source");
  convert(folder / "source", folder / "original", kO, 4000, at::kBFloat16);
  convert(folder / "original", folder / "bf16", kD);
  CHECK(digests_of(folder / "bf16").at(kWeights) == golden_digests("bf16").at(kWeights));
  const SafetensorsSet set(folder / "original");
  CHECK(set.num_files() > 1);
  CHECK(set.spec("blocks.0.self_attn.q.weight").dtype == at::kBFloat16);
  CHECK(set.spec("blocks.0.modulation").dtype == at::kFloat);
}

TEST_CASE("an original checkpoint comes back byte by byte from diffusers' layout", "[unit]") {
  const TemporaryFolder folder;
  NamedTensors tensors;
  for (const auto& [name, tensor] : tiny_tensors()) tensors[*wan_name(name, kD, kO)] = tensor;
  // The published file's keys, at this network's sizes.
  write_tiny(folder / "source", tensors,
             "{\n  \"_class_name\": \"WanModel\",\n  \"_diffusers_version\": \"0.30.0\",\n  \"dim\": 24,\n  \"eps\": 1e-06,\n  \"ffn_dim\": 20,\n"
             "  \"freq_dim\": 8,\n  \"in_dim\": 3,\n  \"model_type\": \"t2v\",\n  \"num_heads\": 2,\n  \"num_layers\": 2,\n  \"out_dim\": 2,\n"
             "  \"text_dim\": 10,\n  \"text_len\": 512\n}\n");
  convert(folder / "source", folder / "diffusers", kD);
  const WanCheckpoint diffusers(folder / "diffusers");
  CHECK(at::equal(diffusers.tensor("blocks.1.attn2.to_out.0.weight"), tiny_tensors().at("blocks.1.attn2.to_out.0.weight")));
  convert(folder / "diffusers", folder / "back", kO);
  CHECK(digests_of(folder / "back") == digests_of(folder / "source"));
  const std::string text = WanCheckpoint(folder / "source").config_text({{"image_dim", "added_kv_proj_dim"}, {}});
  CHECK(text.find('_') != 1);
  for (const char* part : {"\"attention_head_dim\":12", "\"num_attention_heads\":2", "\"image_dim\":0", "\"patch_size\":[1,2,2]", "\"eps\":1e-06"})
    CHECK_THAT(text, ContainsSubstring(part));
  CHECK_THAT(text, !ContainsSubstring("_converted_from"));
}

TEST_CASE("linear blocks and their list of kinds survive in either layout", "[unit]") {
  const TemporaryFolder folder;
  NamedTensors tensors = tiny_tensors();
  tensors["blocks.1.attn1.phi_q"] = formula_tensor("phi_q", {2, 12, 12}, 1);
  tensors["blocks.1.attn1.phi_k"] = formula_tensor("phi_k", {2, 12, 12}, 1);
  const std::string attention = "\"attention\": [\n    \"softmax\",\n    \"linear\"\n  ],\n  ";
  write_tiny(folder / "source", tensors, replaced(tiny_config(), "\"attention_head_dim\"", attention + "\"attention_head_dim\""));
  convert(folder / "source", folder / "original", kO);
  CHECK_THAT(read_text_file(folder / "original/config.json"), ContainsSubstring(attention));
  const WanCheckpoint original(folder / "original");
  CHECK_THAT(original.config_text({}), ContainsSubstring(R"("attention":["softmax","linear"])"));
  const NamedTensors read = original.tensors();
  REQUIRE(read.size() == tensors.size());
  for (const auto& [name, tensor] : tensors) CHECK(at::equal(read.at(name), tensor));
  convert(folder / "original", folder / "back", kD);
  CHECK(digests_of(folder / "back") == digests_of(folder / "source"));
}

TEST_CASE("a changed config is converted by its own keys, not by those that it came from", "[unit]") {
  const std::string original = convert_wan_config(tiny_config(), "config", kO);
  CHECK(convert_wan_config(original, "config", kD) == tiny_config());
  std::string edited = original;  // its own key stands behind that of the stored source
  edited.replace(edited.rfind("\"num_layers\": 2"), std::string("\"num_layers\": 2").size(), "\"num_layers\": 5");
  CHECK(wan_sizes(convert_wan_config(edited, "config", kD), "config").num_layers == 5);
  const std::string other_source = replaced(original, "\"num_layers\": 2", "\"num_layers\": 5");
  CHECK(wan_sizes(convert_wan_config(other_source, "config", kD), "config").num_layers == 2);
}

TEST_CASE("a pipeline's transformer is found, and a weights file with its config beside it", "[unit]") {
  const TemporaryFolder folder;
  write_tiny(folder / "pipeline/transformer");
  write_file_atomically(folder / "pipeline/model_index.json", R"({"_class_name": "WanPipeline", "transformer": ["diffusers", "WanTransformer3DModel"]})");
  CHECK(WanCheckpoint(folder / "pipeline").folder() == folder / "pipeline/transformer");
  CHECK(WanCheckpoint(folder / ("pipeline/transformer/" + kWeights)).names().size() == 2 * 27 + 15);
  CHECK(is_wan_checkpoint(folder / "pipeline"));
  write_file_atomically(folder / "pipeline/model_index.json", R"({"_class_name": "FluxPipeline"})");
  CHECK_THAT(message_of([&] { WanCheckpoint(folder / "pipeline"); }), ContainsSubstring("model_index.json: _class_name is 'FluxPipeline', wanted WanPipeline"));
  CHECK(!is_wan_checkpoint(folder / "pipeline"));
  CHECK_THAT(message_of([&] { WanCheckpoint(folder / "nowhere"); }), ContainsSubstring("nowhere: there is no such file or folder"));
  fs::create_directories(folder / "empty");
  CHECK_THAT(message_of([&] { WanCheckpoint(folder / "empty"); }), ContainsSubstring("empty: there is no config.json"));
}

TEST_CASE("configs of another class, task or kind are refused", "[unit]") {
  const auto problem = [](const std::string& config) { return message_of([&] { wan_sizes(config, "c.json"); }); };
  CHECK_THAT(problem("{\"_class_name\": \"UNet2DModel\"}"),
             ContainsSubstring("c.json: _class_name is UNet2DModel, wanted WanTransformer3DModel (diffusers) or WanModel"));
  CHECK_THAT(problem("{}"), ContainsSubstring("c.json: there is no \"_class_name\""));
  CHECK_THAT(problem("[]"), ContainsSubstring("c.json: is array, wanted an object"));
  CHECK_THAT(problem("{"), ContainsSubstring("c.json: not valid JSON"));
  CHECK_THAT(problem("{\"_class_name\": \"WanModel\", \"model_type\": \"i2v\"}"),
             ContainsSubstring("model_type is \"i2v\", wanted \"t2v\": linden has text-to-video"));
  CHECK_THAT(problem("{\"_class_name\": \"WanModel\"}"), ContainsSubstring("there is no \"num_heads\""));
  CHECK_THAT(problem("{\"dim\": 10, \"num_heads\": 4, \"num_layers\": 1}"), ContainsSubstring("a width of 10 for 4 heads"));
  CHECK_THAT(problem(replaced(tiny_config(), "\"image_dim\": null", "\"image_dim\": 1280")), ContainsSubstring("image_dim is 1280, wanted null"));
  CHECK_THAT(problem(replaced(tiny_config(), "\"ffn_dim\"", "\"num_heads\": 2, \"ffn_dim\"")),
             ContainsSubstring("num_heads is a key of the other layout; the file says that it is a WanTransformer3DModel"));
  CHECK_THAT(problem(replaced(tiny_config(), "\"ffn_dim\": 20", "\"ffn_dim\": 2.5")), ContainsSubstring("ffn_dim is 2.5, wanted an integer from 1"));
  CHECK_THAT(problem(replaced(tiny_config(), "\"num_layers\": 2", "\"num_layers\": 1000000")), ContainsSubstring("num_layers is 1000000, wanted fewer"));
}

TEST_CASE("missing, surplus and misshaped tensors are told at once under the names on disk, long lists cut", "[unit]") {
  const TemporaryFolder folder;
  NamedTensors tensors;
  for (const auto& [name, tensor] : tiny_tensors())
    if (!name.starts_with("blocks.1.")) tensors[*wan_name(name, kD, kO)] = tensor;
  tensors["extra.weight"] = at::zeros({2, 3});
  tensors["head.head.bias"] = at::zeros({9});
  write_tiny(folder / "m", tensors, convert_wan_config(tiny_config(), "config", kO));
  const std::string message = message_of([&] { WanCheckpoint(folder / "m"); });
  CHECK_THAT(message, ContainsSubstring("27 missing:\n    blocks.1.cross_attn.k.bias [24]\n"));
  CHECK_THAT(message, ContainsSubstring("... and 7 more"));
  CHECK_THAT(message, ContainsSubstring("1 that the model does not have:\n    extra.weight [2, 3]"));
  CHECK_THAT(message, ContainsSubstring("1 of another shape:\n    head.head.bias is [9], wanted [8]"));
}

TEST_CASE("a conversion that fails or is stopped leaves nothing, and nothing is written over", "[unit]") {
  const TemporaryFolder folder;
  write_tiny(folder / "source");
  const WanCheckpoint source(folder / "source");
  const auto write = [&](const std::function<void(uint64_t)>& on_bytes) { write_conversion(source, {kO, {}, 4000}, folder / "target", on_bytes); };
  CHECK_THROWS_AS(write([](uint64_t) { request_interrupt(); }), Interrupted);
  clear_interrupt();
  CHECK_THROWS_AS(write([](uint64_t bytes) {
                    if (bytes > 9000) throw std::runtime_error("disk");
                  }),
                  std::runtime_error);
  CHECK(std::distance(fs::directory_iterator(folder.path), fs::directory_iterator()) == 1);  // the source alone
  uint64_t told = 0;
  write([&](uint64_t bytes) { told = bytes; });
  CHECK(told == plan_conversion(source, {kO, {}, 4000}).num_bytes);
  const Digests before = digests_of(folder / "target");
  CHECK_THAT(message_of([&] { write({}); }), ContainsSubstring("target: exists already, and nothing is written over it"));
  CHECK(digests_of(folder / "target") == before);
}

TEST_CASE("sizes and precisions of the command line", "[unit]") {
  CHECK(parse_byte_size("5GB") == 5'000'000'000);
  CHECK(parse_byte_size("0.5 mb") == 500'000);
  CHECK(parse_byte_size("7") == 7);
  for (const char* wrong : {"", "GB", "-1GB", "0", "5GiB", "nan", "inf", "1e40"})
    CHECK_THAT(message_of([&] { parse_byte_size(wrong); }), ContainsSubstring("--max-shard-size is '"));
  CHECK(parse_conversion_dtype("keep") == std::nullopt);
  CHECK(parse_conversion_dtype("fp16") == at::kHalf);
  CHECK_THAT(message_of([] { parse_conversion_dtype("int8"); }), ContainsSubstring("--dtype is 'int8', wanted keep, fp32, bf16 or fp16"));
}
