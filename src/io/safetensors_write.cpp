#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <tuple>
#include <utility>

#include "core/error.h"
#include "io/safetensors.h"
#include "io/safetensors_header.h"
#include "io/safetensors_writer.h"

namespace linden {
namespace {

using Json = nlohmann::ordered_json;

std::string dtype_name(const TensorSpec& tensor) {
  const auto name = safetensors_dtype_name(tensor.dtype);
  check(name.has_value(), "safetensors: tensor {} has the dtype {}, which the format lacks", quoted_name(tensor.name), at::toString(tensor.dtype));
  return *name;
}

std::vector<TensorSpec> in_file_order(std::vector<TensorSpec> tensors) {
  for (const TensorSpec& tensor : tensors) dtype_name(tensor);
  std::sort(tensors.begin(), tensors.end(), [](const TensorSpec& a, const TensorSpec& b) {
    const int rank_a = safetensors_rank(a.dtype), rank_b = safetensors_rank(b.dtype);
    return std::tie(rank_a, a.name) < std::tie(rank_b, b.name);
  });
  return tensors;
}

std::string header_text(const std::vector<TensorSpec>& tensors, const Metadata& metadata) {
  Json header = Json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  uint64_t offset = 0;
  for (const TensorSpec& tensor : tensors) {
    const uint64_t end = offset + tensor.num_bytes();
    header[tensor.name] = {{"dtype", dtype_name(tensor)}, {"shape", tensor.shape}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const Json::exception& problem) { throw CheckError(fmt::format("safetensors: a name or a metadata text is not UTF-8: {}", problem.what())); }
  text.resize((text.size() + 7) / 8 * 8, ' ');  // data starts at a multiple of 8
  check(text.size() <= kMaxSafetensorsHeader, "safetensors: the header has {} bytes, allowed {}", text.size(), kMaxSafetensorsHeader);
  return text;
}

void check_names(const std::vector<TensorSpec>& tensors) {
  std::vector<std::string_view> names;
  for (const TensorSpec& tensor : tensors) names.push_back(tensor.name);
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  check(twice == names.end(), "safetensors: tensor {} is to be written twice", twice == names.end() ? "" : quoted_name(*twice));
  check(!std::binary_search(names.begin(), names.end(), "__metadata__"), "safetensors: a tensor cannot have the name __metadata__");
}

}  // namespace

SafetensorsWriter::SafetensorsWriter(const std::filesystem::path& path, std::vector<TensorSpec> tensors, const Metadata& metadata)
    : order_(in_file_order(std::move(tensors))),
      file_(path) {
  check_names(order_);
  const std::string header = header_text(order_, metadata);
  char size[8];
  for (int i = 0; i < 8; ++i) size[i] = static_cast<char>(static_cast<uint64_t>(header.size()) >> (8 * i));
  file_.write(size, sizeof size);
  file_.write(header);
  for (const TensorSpec& tensor : order_) remaining_ += tensor.num_bytes();
}

void SafetensorsWriter::write(std::string_view bytes) {
  check(bytes.size() <= remaining_, "SafetensorsWriter: {}: {} bytes too many", file_.target().string(),
        bytes.size() - std::min<uint64_t>(bytes.size(), remaining_));
  file_.write(bytes);
  remaining_ -= bytes.size();
}

void SafetensorsWriter::commit() {
  check(remaining_ == 0, "SafetensorsWriter: {}: {} bytes are missing", file_.target().string(), remaining_);
  file_.commit();
}

std::vector<std::vector<TensorSpec>> split_into_shards(const std::vector<TensorSpec>& tensors, uint64_t max_bytes) {
  std::vector<std::vector<TensorSpec>> shards;
  std::vector<TensorSpec> current;
  uint64_t current_bytes = 0;
  for (const TensorSpec& tensor : tensors) {
    const uint64_t bytes = tensor.num_bytes();
    if (bytes > max_bytes) {
      shards.push_back({tensor});
      continue;
    }
    if (current_bytes + bytes > max_bytes) {
      shards.push_back(std::exchange(current, {}));
      current_bytes = 0;
    }
    current.push_back(tensor);
    current_bytes += bytes;
  }
  if (!current.empty()) shards.push_back(std::move(current));
  return shards;
}

void save_safetensors(const std::filesystem::path& path, const NamedTensors& tensors, const Metadata& metadata) {
  std::vector<TensorSpec> specs;
  for (const auto& [name, tensor] : tensors) {
    check(tensor.defined() && tensor.layout() == at::kStrided, "save_safetensors: tensor {} is undefined or sparse", quoted_name(name));
    specs.push_back({name, tensor.scalar_type(), tensor.sizes().vec()});
  }
  SafetensorsWriter writer(path, std::move(specs), metadata);
  for (const TensorSpec& spec : writer.order()) {  // one tensor at a time on the CPU
    const at::Tensor plain = tensors.at(spec.name).detach().to(at::kCPU).resolve_conj().resolve_neg().contiguous();
    writer.write({static_cast<const char*>(plain.const_data_ptr()), plain.nbytes()});
  }
  writer.commit();
}

}  // namespace linden
