#include "transfer/trajectory_shard.h"

#include <ATen/ATen.h>

#include <span>

#include "core/error.h"
#include "io/digest.h"
#include "io/hdf5.h"

namespace linden {
namespace {

namespace fs = std::filesystem;

constexpr const char* kAdvice = "remove it and run the same `linden trajectories` with --resume, which makes it again";

at::Tensor stored_bits(const at::Tensor& latents) {
  return latents.scalar_type() == at::kBFloat16 ? latents.contiguous().view(at::kShort) : latents.contiguous();
}

std::string checksum_of(const MappedFile& file) { return crc32_hex(std::as_bytes(std::span(file.data(), file.size()))); }

}  // namespace

void write_shard(const fs::path& folder, TrajectoryManifest& manifest, int64_t shard, const Trajectories& trajectories) {
  check(static_cast<int64_t>(manifest.shards.file.size()) == shard, "write_shard: shard {} after {} shards", shard, manifest.shards.file.size());
  check(trajectories.x.size(0) == manifest.shard_count(shard) && trajectories.velocity.defined() == manifest.has_velocity(),
        "write_shard: {} trajectories, wanted {}", trajectories.x.size(0), manifest.shard_count(shard));
  const std::string name = shard_file(shard);
  const int64_t first = shard * manifest.trajectories_per_shard;
  Hdf5Writer writer(folder / name);
  const int64_t x_offset = writer.write_plain("x", stored_bits(trajectories.x));
  if (manifest.has_velocity()) writer.attribute("velocity_offset", writer.write_plain("velocity", stored_bits(trajectories.velocity)));
  writer.write("prompt", trajectories.prompt);
  writer.attribute("x_offset", x_offset);
  writer.attribute("elements", manifest.dtype);
  writer.attribute("first", first);
  writer.attribute("teacher", manifest.teacher);
  writer.close();
  const MappedFile file(folder / name);
  TrajectoryShards& shards = manifest.shards;
  shards.file.push_back(name);
  shards.first.push_back(first);
  shards.count.push_back(manifest.shard_count(shard));
  shards.bytes.push_back(static_cast<int64_t>(file.size()));
  shards.crc32.push_back(checksum_of(file));
}

TrajectoryShard::TrajectoryShard(const fs::path& folder, const TrajectoryManifest& manifest, int64_t shard, bool verify) {
  const auto i = static_cast<size_t>(shard);
  check(i < manifest.shards.file.size(), "TrajectoryShard: shard {} of {}", shard, manifest.shards.file.size());
  path_ = folder / manifest.shards.file[i];
  first_ = manifest.shards.first[i];
  count_ = manifest.shards.count[i];
  check_input(fs::exists(path_), "{}: this shard is missing (trajectories {}..{}); run the same `linden trajectories` with --resume, which makes it again",
              path_.string(), first_, first_ + count_ - 1);
  file_ = std::make_shared<MappedFile>(path_);
  check_input(static_cast<int64_t>(file_->size()) == manifest.shards.bytes[i], "{}: this shard is damaged: it has {} bytes, wanted {}; {}", path_.string(),
              file_->size(), manifest.shards.bytes[i], kAdvice);
  if (verify) {
    const std::string sum = checksum_of(*file_);
    check_input(sum == manifest.shards.crc32[i], "{}: this shard is damaged: its CRC-32 is {}, wanted {}; {}", path_.string(), sum, manifest.shards.crc32[i],
                kAdvice);
  }
  const Hdf5Reader reader(path_);
  const std::string elements = reader.text_attribute("elements");
  check_input(elements == manifest.dtype && reader.integer_attribute("first") == first_ && reader.text_attribute("teacher") == manifest.teacher,
              "{}: this shard belongs to other trajectories than {} does: elements {} from trajectory {} on, wanted {} from {} on, of the same teacher",
              path_.string(), kManifestFile, elements, reader.integer_attribute("first"), manifest.dtype, first_);
  prompt_ = reader.read("prompt");
  const bool prompts_fit = prompt_.dim() == 1 && prompt_.scalar_type() == at::kLong && prompt_.size(0) == count_ && prompt_.min().item<int64_t>() >= 0 &&
                           prompt_.max().item<int64_t>() < static_cast<int64_t>(manifest.prompts.size());
  check_input(prompts_fit, "{}: 'prompt' is no list of {} rows of {} prompts; {}", path_.string(), count_, manifest.prompts.size(), kAdvice);
  x_ = latents(manifest, reader.integer_attribute("x_offset"), "x");
  if (manifest.has_velocity()) velocity_ = latents(manifest, reader.integer_attribute("velocity_offset"), "velocity");
}

at::Tensor TrajectoryShard::latents(const TrajectoryManifest& manifest, int64_t offset, const std::string& name) const {
  const at::ScalarType dtype = manifest.dtype == "bf16" ? at::kBFloat16 : at::kFloat;
  std::vector<int64_t> shape = {count_ * manifest.num_kept()};
  shape.insert(shape.end(), manifest.latent_shape.begin(), manifest.latent_shape.end());
  const int64_t bytes = shape[0] * manifest.elements() * static_cast<int64_t>(c10::elementSize(dtype)), size = static_cast<int64_t>(file_->size());
  check_input(offset >= 0 && offset % static_cast<int64_t>(c10::elementSize(dtype)) == 0 && bytes <= size && offset <= size - bytes,
              "{}: '{}' is said to be {} bytes from byte {} on, but the file has {} bytes; {}", path_.string(), name, bytes, offset, size, kAdvice);
  return at::from_blob(file_->data() + offset, shape, at::TensorOptions().dtype(dtype));
}

bool shard_is_there(const fs::path& folder, const TrajectoryManifest& manifest, int64_t shard) {
  const auto i = static_cast<size_t>(shard);
  if (i >= manifest.shards.file.size()) return false;
  std::error_code error;
  const auto size = fs::file_size(folder / manifest.shards.file[i], error);
  return !error && static_cast<int64_t>(size) == manifest.shards.bytes[i];
}

}  // namespace linden
