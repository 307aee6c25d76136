// `linden trajectories`: what a config makes, what it costs, and making it, shard by shard.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <filesystem>
#include <functional>

#include "core/run_directory.h"
#include "models/video_model_layout.h"
#include "transfer/trajectory_config.h"
#include "transfer/trajectory_manifest.h"

namespace linden {

struct VideoModel;

// Puts the model's shift and latent sizes where the config leaves them to it; then the config says all. Throws InputError, ConfigError: no
// teacher, latents that the patch does not divide, a shift that contradicts the model's.
void resolve_trajectories(TrajectoriesConfig& config, const VideoModelLayout& teacher);
// The manifest of a resolved config, without shards. Reads the prompts and the teacher's digest (every byte of its weights, 0.2 GB/s a core).
TrajectoryManifest describe_trajectories(const TrajectoriesConfig& config, const VideoModelLayout& teacher, const std::string& teacher_digest);

struct TrajectoriesCost {
  int64_t bytes = 0;          // of latents
  int64_t bytes_on_disk = 0;  // the most that all shards' files have
  int64_t nfe = 0;
  int64_t network_calls = 0;  // of one video
};
TrajectoriesCost trajectories_cost(const TrajectoryManifest& manifest);

// Free bytes where `folder` is, or will be.
using FreeBytes = std::function<int64_t(const std::filesystem::path& folder)>;
int64_t free_bytes_of(const std::filesystem::path& folder);
// Throws InputError: shards that are not finished yet need more than is free.
void require_room(const TrajectoryManifest& manifest, const std::filesystem::path& folder, const FreeBytes& free_bytes = free_bytes_of);

struct TrajectoriesSummary {
  int64_t num_trajectories = 0, pairs = 0, shards = 0, bytes = 0;
  int64_t nfe = 0, network_calls = 0;                  // of this part of the run
  double generating_seconds = 0, writing_seconds = 0;  // the same
  double nfe_per_second = 0, written_mb_per_second = 0;
};
void visit_fields(FieldVisitor& v, TrajectoriesSummary& s);

// Makes the shards that the folder does not have yet, and manifest.json, which is written after each. A shard is made anew if it was not
// finished, from the same streams in the same batches: a run that was killed and resumed leaves the same bytes as one that was not.
// Throws InputError: a folder whose manifest is of another teacher or other prompts, no room for the next shard; std::runtime_error: a shard that
// cannot be written; Interrupted: finished shards are kept.
TrajectoriesSummary make_trajectories(const TrajectoriesConfig& config, TrajectoryManifest manifest, const VideoModel& teacher, RunDirectory& run,
                                      at::Device device, const FreeBytes& free_bytes = free_bytes_of);

}  // namespace linden
