// One file of trajectories: written whole, mapped for reading. The layout: trajectory_manifest.h.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <memory>

#include "io/mapped_file.h"
#include "transfer/trajectory_generator.h"
#include "transfer/trajectory_manifest.h"

namespace linden {

// Writes shard number `shard` under a temporary name, renames it, and appends it to manifest.shards, which has to end just before it.
// The file on disk is whole or not there; the same trajectories give the same bytes. std::runtime_error with the system's reason.
void write_shard(const std::filesystem::path& folder, TrajectoryManifest& manifest, int64_t shard, const Trajectories& trajectories);

class TrajectoryShard {
 public:
  // Throws InputError that names the file: missing, of another size, damaged (the checksum differs, unless `verify` is false), of other
  // contents than the manifest says.
  TrajectoryShard(const std::filesystem::path& folder, const TrajectoryManifest& manifest, int64_t shard, bool verify = true);

  int64_t first() const { return first_; }  // trajectory
  int64_t count() const { return count_; }  // T
  // Views of the mapped file, valid as long as this object. [T K, C, F, Y, X] bf16 or fp32; velocity is undefined where not stored.
  const at::Tensor& x() const { return x_; }
  const at::Tensor& velocity() const { return velocity_; }
  const at::Tensor& prompt() const { return prompt_; }  // [T] int64
  void release_pages() const { file_->release_pages(); }

 private:
  at::Tensor latents(const TrajectoryManifest& manifest, int64_t offset, const std::string& name) const;

  std::filesystem::path path_;
  std::shared_ptr<MappedFile> file_;
  int64_t first_ = 0, count_ = 0;
  at::Tensor x_, velocity_, prompt_;
};

// Whether the shard's file is there with the manifest's size: what a resumed run need not make again.
bool shard_is_there(const std::filesystem::path& folder, const TrajectoryManifest& manifest, int64_t shard);

}  // namespace linden
