#include "models/wan_convert.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <map>

#include "core/error.h"
#include "core/files.h"
#include "core/progress.h"
#include "io/pending_folder.h"
#include "io/safetensors_index.h"
#include "io/safetensors_writer.h"
#include "models/wan_config.h"

namespace linden {
namespace {

namespace fs = std::filesystem;

const std::string kStem = "diffusion_pytorch_model";
constexpr size_t kChunkBytes = 8 << 20;  // a multiple of every element's size

at::ScalarType target_dtype(const TensorSpec& tensor, const std::string& diffusers_name, const WanConversion& conversion) {
  if (!conversion.dtype || !at::isFloatingType(tensor.dtype)) return tensor.dtype;
  return is_kept_in_fp32(diffusers_name) ? at::kFloat : *conversion.dtype;
}

// `bytes` as elements of another type. They may lie unaligned in the file.
at::Tensor cast_chunk(std::string_view bytes, at::ScalarType from, at::ScalarType to) {
  const at::Tensor values = at::empty({static_cast<int64_t>(bytes.size() / c10::elementSize(from))}, from);
  std::memcpy(values.data_ptr(), bytes.data(), bytes.size());
  return values.to(to);
}

void write_chunk(SafetensorsWriter& writer, std::string_view bytes, at::ScalarType from, at::ScalarType to) {
  if (from == to) return writer.write(bytes);
  const at::Tensor cast = cast_chunk(bytes, from, to);
  writer.write({static_cast<const char*>(cast.const_data_ptr()), cast.nbytes()});
}

void check_room(const fs::path& target, uint64_t num_bytes) {
  fs::path folder = fs::absolute(target).parent_path();
  while (!fs::exists(folder) && folder.has_relative_path()) folder = folder.parent_path();
  std::error_code error;
  const fs::space_info space = fs::space(folder, error);
  constexpr double kGB = 1e9;
  check_input(error || space.available > num_bytes, "{}: {:.2f} GB are to be written, and {:.2f} GB are free", target.string(),
              static_cast<double>(num_bytes) / kGB, static_cast<double>(space.available) / kGB);
}

}  // namespace

WanConversionPlan plan_conversion(const WanCheckpoint& source, const WanConversion& conversion) {
  WanConversionPlan plan;
  plan.config = convert_wan_config(source.config_file(), (source.folder() / "config.json").string(), conversion.to);
  std::map<std::string, TensorSpec> specs;  // by the new name
  std::vector<std::string> names;
  for (const std::string& name : source.names()) {
    TensorSpec spec = source.files().spec(source.stored_name(name));
    spec.dtype = target_dtype(spec, name, conversion);
    spec.name = *wan_name(name, WanNaming::kDiffusers, conversion.to);
    plan.num_bytes += spec.num_bytes();
    names.push_back(spec.name);
    specs.emplace(spec.name, std::move(spec));
  }
  std::vector<TensorSpec> ordered;
  for (const std::string& name : in_module_order(std::move(names), conversion.to)) ordered.push_back(specs.at(name));

  auto shards = split_into_shards(ordered, conversion.max_shard_bytes);
  std::map<std::string, std::string> file_of_tensor;
  for (size_t i = 0; i < shards.size(); ++i) {
    WanConversionPlan::File file{shard_file_name(kStem, i + 1, shards.size()), std::move(shards[i]), 0};
    for (const TensorSpec& tensor : file.tensors) {
      file.num_bytes += tensor.num_bytes();
      file_of_tensor[tensor.name] = file.name;
    }
    plan.files.push_back(std::move(file));
  }
  if (plan.files.size() > 1) plan.index = safetensors_index_text(file_of_tensor, plan.num_bytes);
  return plan;
}

void write_conversion(const WanCheckpoint& source, const WanConversion& conversion, const fs::path& target, const std::function<void(uint64_t)>& on_bytes) {
  const WanConversionPlan plan = plan_conversion(source, conversion);
  check_room(target, plan.num_bytes);
  PendingFolder folder(target);
  uint64_t done = 0;
  for (const auto& file : plan.files) {
    SafetensorsWriter writer(folder / file.name, file.tensors, source.files().metadata());
    for (const TensorSpec& tensor : writer.order()) {
      const std::string stored = *wan_name(tensor.name, conversion.to, source.naming());
      const at::ScalarType from = source.files().spec(stored).dtype;
      const std::string_view bytes = source.files().bytes(stored);
      for (size_t at = 0; at < bytes.size(); at += kChunkBytes) {
        const std::string_view chunk = bytes.substr(at, kChunkBytes);
        write_chunk(writer, chunk, from, tensor.dtype);
        source.files().release_pages();
        done += chunk.size() / c10::elementSize(from) * c10::elementSize(tensor.dtype);
        if (on_bytes) on_bytes(done);
        if (interrupt_requested()) throw Interrupted(fmt::format("{}: nothing is left of the unfinished checkpoint", target.string()));
      }
    }
    writer.commit();
  }
  if (!plan.index.empty()) write_file_atomically(folder / (kStem + ".safetensors.index.json"), plan.index);
  write_file_atomically(folder / "config.json", plan.config);
  folder.commit();
}

std::optional<at::ScalarType> parse_conversion_dtype(const std::string& text) {
  if (text == "keep") return std::nullopt;
  if (text == "fp32") return at::kFloat;
  if (text == "bf16") return at::kBFloat16;
  if (text == "fp16") return at::kHalf;
  throw InputError(fmt::format("--dtype is '{}', wanted keep, fp32, bf16 or fp16", text));
}

uint64_t parse_byte_size(const std::string& text) {
  char* end = nullptr;
  const double number = std::strtod(text.c_str(), &end);
  std::string unit(end);
  unit.erase(0, unit.find_first_not_of(' ') == std::string::npos ? unit.size() : unit.find_first_not_of(' '));
  std::transform(unit.begin(), unit.end(), unit.begin(), [](unsigned char c) { return std::toupper(c); });
  const std::map<std::string, double> units = {{"", 1}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}};
  const bool is_size = end != text.c_str() && units.contains(unit) && std::isfinite(number) && number > 0;
  const double bytes = is_size ? number * units.at(unit) : 0;
  check_input(bytes >= 1 && bytes < 1e18, "--max-shard-size is '{}', wanted a size such as 5GB or 500MB (TB, GB, MB, KB; at least one byte)", text);
  return static_cast<uint64_t>(bytes);
}

}  // namespace linden
