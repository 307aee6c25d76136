// The table of Wan's tensor names: complete, exact and the same in both directions.
#include "models/wan_names.h"

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <fstream>
#include <numeric>
#include <set>
#include <sstream>

using namespace linden;

namespace {

constexpr WanNaming kD = WanNaming::kDiffusers, kO = WanNaming::kOriginal;

struct Line {
  std::string diffusers, original;
  std::vector<int64_t> shape;
};

std::vector<Line> golden_lines() {
  std::ifstream file("tests/golden/models/wan_names.tsv");
  std::vector<Line> lines;
  for (std::string text; std::getline(file, text);) {
    std::istringstream words(text);
    Line line;
    std::string shape;
    words >> line.diffusers >> line.original >> shape;
    std::istringstream extents(shape);
    for (std::string extent; std::getline(extents, extent, ',');) line.shape.push_back(std::stoll(extent));
    lines.push_back(line);
  }
  return lines;
}

}  // namespace

TEST_CASE("all names and shapes of the 1.3B transformer are the reference's, both ways", "[golden]") {
  const std::vector<Line> lines = golden_lines();
  REQUIRE(lines.size() == 825);
  TensorShapes diffusers, original;
  int64_t num_weights = 0;
  for (const Line& line : lines) {
    INFO(line.diffusers);
    CHECK(wan_name(line.diffusers, kD, kO) == line.original);
    CHECK(wan_name(line.original, kO, kD) == line.diffusers);
    CHECK(wan_name(line.diffusers, kD, kD) == line.diffusers);
    diffusers[line.diffusers] = original[line.original] = line.shape;
    num_weights += std::accumulate(line.shape.begin(), line.shape.end(), int64_t{1}, std::multiplies<>());
  }
  CHECK(num_weights == 1'418'996'800);
  CHECK(diffusers.size() == 825);
  CHECK(original.size() == 825);
  CHECK(wan_shapes({}, kD) == diffusers);
  CHECK(wan_shapes({}, kO) == original);
}

TEST_CASE("the module order is the reference's in both namings", "[golden]") {
  std::vector<std::string> names;
  for (const Line& line : golden_lines()) names.push_back(line.diffusers);
  std::vector<std::string> shuffled = names;
  std::sort(shuffled.begin(), shuffled.end(), std::greater<>());
  CHECK(in_module_order(shuffled, kD) == names);

  std::vector<std::string> originals, given;
  std::ifstream file("tests/golden/models/wan_original_order.txt");
  for (std::string name; std::getline(file, name);) originals.push_back(name);
  REQUIRE(originals.size() == 42);
  for (const auto& [name, shape] : wan_shapes({.num_layers = 1}, kO)) given.push_back(name);
  CHECK(in_module_order(given, kO) == originals);
}

TEST_CASE("linden's tensors of linear attention have a name in both namings", "[unit]") {
  for (const char* part : {"phi_q", "phi_k", "gate", "phi_q.weight", "gate.r"}) {
    const std::string diffusers = std::string("blocks.29.attn1.") + part, original = std::string("blocks.29.self_attn.") + part;
    CHECK(wan_name(diffusers, kD, kO) == original);
    CHECK(wan_name(original, kO, kD) == diffusers);
    CHECK(is_linear_attention_tensor(diffusers, kD));
    CHECK(is_linear_attention_tensor(original, kO));
  }
  CHECK(!is_linear_attention_tensor("blocks.29.attn1.to_q.weight", kD));
}

TEST_CASE("tables, affine norms, the time embedding and gates stay in fp32", "[unit]") {
  for (const char* name :
       {"scale_shift_table", "blocks.3.scale_shift_table", "blocks.3.norm2.bias", "condition_embedder.time_embedder.linear_1.weight", "blocks.3.attn1.gate"})
    CHECK(is_kept_in_fp32(name));
  for (const char* name : {"blocks.3.attn1.norm_q.weight", "condition_embedder.time_proj.weight", "proj_out.bias", "blocks.3.attn1.phi_q"})
    CHECK(!is_kept_in_fp32(name));
}

TEST_CASE("what is no tensor of the network has no other name", "[unit]") {
  for (const char* name : {"",
                           "blocks",
                           "blocks.",
                           "blocks.1",
                           "blocks.1.",
                           "blocks.01.scale_shift_table",
                           "blocks.x.scale_shift_table",
                           "blocks.1234567.scale_shift_table",
                           "blocks.1.scale_shift_table.weight",
                           "blocks.1.norm3.weight",
                           "blocks.1.norm1.weight",
                           "blocks.1.attn1.to_q",
                           "blocks.1.attn1.to_q.weight.x",
                           "blocks.1.attn1.norm_q.bias",
                           "blocks.1.attn1.phi_qx",
                           "blocks.1.attn1.phi_q.",
                           "blocks.1.self_attn.q.weight",
                           "head.head.weight",
                           "attn1.to_q.weight",
                           "blocks.1.proj_out.weight"})
    CHECK(wan_name(name, kD, kO) == std::nullopt);
  CHECK(wan_name("blocks.1.norm2.weight", kO, kD) == std::nullopt);
  CHECK(wan_name("blocks.1.norm3.bias", kO, kD) == "blocks.1.norm2.bias");
}
