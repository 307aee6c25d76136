#include "models/wan_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <initializer_list>
#include <string_view>
#include <tuple>

#include "core/error.h"

namespace linden {
namespace {

// What follows a row's name.
enum class Tail {
  kWeightAndBias,
  kWeight,
  kNothing,  // the tensor itself
  kAny,      // the tensor itself, or whatever is below it
};

// One extent of a shape.
enum class Size { k1, k2, k6, kWidth, kSixWidths, kFfn, kText, kFreq, kInChannels, kPatchFrames, kPatchRows, kPatchColumns, kPatchValues };

struct Row {
  const char* diffusers;
  const char* original;
  int original_place;  // among the rows of its table, in the original's module order; the table itself has diffusers'
  Tail tail;
  std::array<Size, 5> shape;  // of the weight; a bias has its first extent
  int num_dims;
};

constexpr Row row(const char* diffusers, const char* original, int original_place, Tail tail, std::initializer_list<Size> shape) {
  Row row{diffusers, original, original_place, tail, {}, static_cast<int>(shape.size())};
  std::copy(shape.begin(), shape.end(), row.shape.begin());
  return row;
}

using enum Size;
using enum Tail;

constexpr std::array kOutside{
    row("scale_shift_table", "head.modulation", 7, kNothing, {k1, k2, kWidth}),
    row("patch_embedding", "patch_embedding", 0, kWeightAndBias, {kWidth, kInChannels, kPatchFrames, kPatchRows, kPatchColumns}),
    row("condition_embedder.time_embedder.linear_1", "time_embedding.0", 3, kWeightAndBias, {kWidth, kFreq}),
    row("condition_embedder.time_embedder.linear_2", "time_embedding.2", 4, kWeightAndBias, {kWidth, kWidth}),
    row("condition_embedder.time_proj", "time_projection.1", 5, kWeightAndBias, {kSixWidths, kWidth}),
    row("condition_embedder.text_embedder.linear_1", "text_embedding.0", 1, kWeightAndBias, {kWidth, kText}),
    row("condition_embedder.text_embedder.linear_2", "text_embedding.2", 2, kWeightAndBias, {kWidth, kWidth}),
    row("proj_out", "head.head", 8, kWeightAndBias, {kPatchValues, kWidth}),
};
constexpr int kBlocksPlace = 6;           // of all blocks in the original's order ...
constexpr int kBlocksPlaceDiffusers = 7;  // ... and before which row of kOutside they stand in diffusers'

constexpr std::array kBlock{
    row("scale_shift_table", "modulation", 0, kNothing, {k1, k6, kWidth}),
    row("attn1.to_q", "self_attn.q", 1, kWeightAndBias, {kWidth, kWidth}),
    row("attn1.to_k", "self_attn.k", 2, kWeightAndBias, {kWidth, kWidth}),
    row("attn1.to_v", "self_attn.v", 3, kWeightAndBias, {kWidth, kWidth}),
    row("attn1.to_out.0", "self_attn.o", 4, kWeightAndBias, {kWidth, kWidth}),
    row("attn1.norm_q", "self_attn.norm_q", 5, kWeight, {kWidth}),
    row("attn1.norm_k", "self_attn.norm_k", 6, kWeight, {kWidth}),
    row("attn1.phi_q", "self_attn.phi_q", 7, kAny, {}),
    row("attn1.phi_k", "self_attn.phi_k", 8, kAny, {}),
    row("attn1.gate", "self_attn.gate", 9, kAny, {}),
    row("attn2.to_q", "cross_attn.q", 11, kWeightAndBias, {kWidth, kWidth}),
    row("attn2.to_k", "cross_attn.k", 12, kWeightAndBias, {kWidth, kWidth}),
    row("attn2.to_v", "cross_attn.v", 13, kWeightAndBias, {kWidth, kWidth}),
    row("attn2.to_out.0", "cross_attn.o", 14, kWeightAndBias, {kWidth, kWidth}),
    row("attn2.norm_q", "cross_attn.norm_q", 15, kWeight, {kWidth}),
    row("attn2.norm_k", "cross_attn.norm_k", 16, kWeight, {kWidth}),
    row("norm2", "norm3", 10, kWeightAndBias, {kWidth}),
    row("ffn.net.0.proj", "ffn.0", 17, kWeightAndBias, {kFfn, kWidth}),
    row("ffn.net.2", "ffn.2", 18, kWeightAndBias, {kWidth, kFfn}),
};

constexpr std::string_view kBlocks = "blocks.";

const char* name_of(const Row& row, WanNaming naming) { return naming == WanNaming::kDiffusers ? row.diffusers : row.original; }

bool fits_tail(Tail kind, std::string_view tail) {
  switch (kind) {
    case kWeightAndBias: return tail == ".weight" || tail == ".bias";
    case kWeight: return tail == ".weight";
    case kNothing: return tail.empty();
    case kAny: return tail.empty() || (tail.size() > 1 && tail.front() == '.');
  }
  return false;
}

// A tensor in the table: "blocks.12." + row + ".weight", the first part only inside a block.
struct Place {
  std::string_view block;  // "blocks.12.", or empty
  const Row* row = nullptr;
  size_t row_number = 0;
  std::string_view tail;
  int64_t block_number() const { return std::stoll(std::string(block.substr(kBlocks.size()))); }
};

// "blocks.12.": digits without a leading zero, few enough for a number. Empty: not in a block.
std::string_view block_part(std::string_view name) {
  if (!name.starts_with(kBlocks)) return {};
  const size_t end = name.find('.', kBlocks.size());
  if (end == std::string_view::npos) return {};
  const std::string_view number = name.substr(kBlocks.size(), end - kBlocks.size());
  const bool is_number = !number.empty() && number.size() <= 6 && number.find_first_not_of("0123456789") == std::string_view::npos;
  return is_number && (number.size() == 1 || number.front() != '0') ? name.substr(0, end + 1) : std::string_view();
}

template <size_t kCount>
std::optional<Place> find_row(const std::array<Row, kCount>& table, std::string_view block, std::string_view rest, WanNaming naming) {
  for (size_t i = 0; i < kCount; ++i) {
    const std::string_view own = name_of(table[i], naming);
    if (rest.starts_with(own) && fits_tail(table[i].tail, rest.substr(own.size()))) return Place{block, &table[i], i, rest.substr(own.size())};
  }
  return std::nullopt;
}

std::optional<Place> find_place(std::string_view name, WanNaming naming) {
  const std::string_view block = block_part(name);
  return block.empty() ? find_row(kOutside, block, name, naming) : find_row(kBlock, block, name.substr(block.size()), naming);
}

int64_t extent(Size size, const WanSizes& sizes) {
  switch (size) {
    case k1: return 1;
    case k2: return 2;
    case k6: return 6;
    case kWidth: return sizes.width;
    case kSixWidths: return 6 * sizes.width;
    case kFfn: return sizes.ffn_dim;
    case kText: return sizes.text_dim;
    case kFreq: return sizes.freq_dim;
    case kInChannels: return sizes.in_channels;
    case kPatchFrames: return sizes.patch.at(0);
    case kPatchRows: return sizes.patch.at(1);
    case kPatchColumns: return sizes.patch.at(2);
    case kPatchValues: return sizes.out_channels * sizes.patch.at(0) * sizes.patch.at(1) * sizes.patch.at(2);
  }
  return 0;
}

void add_shapes(const Row& row, const std::string& prefix, const WanSizes& sizes, WanNaming naming, TensorShapes& shapes) {
  if (row.tail == kAny) return;
  const std::string name = prefix + name_of(row, naming);
  std::vector<int64_t> shape;
  for (int d = 0; d < row.num_dims; ++d) shape.push_back(extent(row.shape[static_cast<size_t>(d)], sizes));
  if (row.tail == kWeightAndBias) shapes[name + ".bias"] = {shape.front()};
  shapes[row.tail == kNothing ? name : name + ".weight"] = std::move(shape);
}

// (outside the blocks or which table row, block, row in the block, weight before bias, the rest)
std::tuple<int64_t, int64_t, int64_t, bool, std::string> order_key(const std::string& name, WanNaming naming) {
  const auto place = find_place(name, naming);
  check(place.has_value(), "wan_names: there is no tensor {}", name);
  const bool diffusers = naming == WanNaming::kDiffusers, inside = !place->block.empty();
  const int64_t own = diffusers ? static_cast<int64_t>(place->row_number) : place->row->original_place;
  const bool is_bias = place->tail == ".bias";
  if (inside) return {diffusers ? kBlocksPlaceDiffusers : kBlocksPlace, place->block_number(), own, is_bias, std::string(place->tail)};
  return {own + (diffusers && own >= kBlocksPlaceDiffusers ? 1 : 0), 0, 0, is_bias, ""};
}

}  // namespace

std::optional<std::string> wan_name(const std::string& name, WanNaming from, WanNaming to) {
  const auto place = find_place(name, from);
  if (!place) return std::nullopt;
  return fmt::format("{}{}{}", place->block, name_of(*place->row, to), place->tail);
}

TensorShapes wan_shapes(const WanSizes& sizes, WanNaming naming) {
  TensorShapes shapes;
  for (const Row& row : kOutside) add_shapes(row, "", sizes, naming, shapes);
  for (int64_t block = 0; block < sizes.num_layers; ++block) {
    for (const Row& row : kBlock) add_shapes(row, fmt::format("{}{}.", kBlocks, block), sizes, naming, shapes);
  }
  return shapes;
}

bool is_linear_attention_tensor(const std::string& name, WanNaming naming) {
  const auto place = find_place(name, naming);
  return place && place->row->tail == kAny;
}

std::vector<std::string> in_module_order(std::vector<std::string> names, WanNaming naming) {
  std::sort(names.begin(), names.end(), [&](const std::string& a, const std::string& b) { return order_key(a, naming) < order_key(b, naming); });
  return names;
}

bool is_kept_in_fp32(const std::string& diffusers_name) {
  const std::string dotted = "." + diffusers_name + ".";
  const auto has_part = [&](const char* part) { return dotted.find(fmt::format(".{}.", part)) != std::string::npos; };
  return has_part("time_embedder") || has_part("scale_shift_table") || has_part("norm2") || has_part("gate");
}

}  // namespace linden
