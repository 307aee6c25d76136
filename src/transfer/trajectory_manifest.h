// manifest.json of a folder of trajectories: everything that decides what they contain, and which shards are finished.
//
// A trajectory is a path of a teacher's sampler. Of each, K steps are kept; a kept step is a pair: the network's input x_t, its
// guided output u_t (where stored), the level. Pair r of the set is step r mod K of trajectory r div K.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/config.h"
#include "transfer/trajectory_config.h"

namespace linden {

// The finished shards, in order: one entry each in the five lists. A shard is an HDF5 file:
//   x, velocity     [T, K, C, F, Y, X], uncompressed, f32 or (bf16) i16 that hold the bits; they start at byte x_offset, velocity_offset
//   prompt          [T] int64, rows of the manifest's prompts
//   attributes      elements ("bf16", "fp32"), first, x_offset, velocity_offset, teacher
struct TrajectoryShards {
  std::vector<std::string> file;   // beside manifest.json
  std::vector<int64_t> first;      // trajectory
  std::vector<int64_t> count;      // T
  std::vector<int64_t> bytes;      // of the file
  std::vector<std::string> crc32;  // of the file
};
void visit_fields(FieldVisitor& v, TrajectoryShards& c);

struct TrajectoryManifest {
  int64_t version = 1;
  std::string teacher;         // models/model_digest.h
  std::string teacher_folder;  // where it lay, for messages only
  std::string teacher_weights;
  std::vector<std::string> attention;  // kind of each block's self-attention
  FlowSamplerConfig sampler = FlowUniPCConfig{};
  int64_t num_steps = 0;
  double shift = 0;
  GuidanceConfig guidance;
  std::vector<int64_t> latent_shape;  // C, F, Y, X
  std::vector<double> sigma;          // [num_steps + 1], the last is 0
  std::vector<double> timestep;       // [num_steps]
  std::vector<int64_t> keep;          // [K] steps, rising
  std::string store = "x", dtype = "bf16", precision = "tf32";
  int64_t seed = 0;
  int64_t batch_size = 1;
  std::string prompt_order = "cycle", negative_prompt;
  std::string prompt_file, prompt_digest;  // SHA-256 of the file
  std::vector<std::string> prompts;
  int64_t num_trajectories = 0;  // when all shards are finished
  int64_t trajectories_per_shard = 1;
  TrajectoryShards shards;

  bool has_velocity() const { return store == "x_and_velocity"; }
  int64_t num_kept() const { return static_cast<int64_t>(keep.size()); }  // K
  int64_t num_pairs() const { return num_trajectories * num_kept(); }
  int64_t num_shards() const;
  int64_t shard_count(int64_t shard) const;  // T of a shard
  int64_t elements() const;                  // of one latent
  int64_t trajectory_bytes() const;          // of its latents
};
void visit_fields(FieldVisitor& v, TrajectoryManifest& c);

constexpr const char* kManifestFile = "manifest.json";
constexpr int64_t kShardOverhead = 16 << 10;  // bytes: most that a shard's file has beside its latents and prompts

std::string shard_file(int64_t shard);                                        // "trajectories_00003.h5"
int64_t shard_file_bound(const TrajectoryManifest& manifest, int64_t shard);  // most bytes of its file
// Prompt of trajectory i, a row of manifest.prompts.
int64_t prompt_of(const TrajectoryManifest& manifest, int64_t trajectory);

// Throws InputError: no such folder or file, damaged, another version, contradictory.
TrajectoryManifest read_manifest(const std::filesystem::path& folder);
void write_manifest(const std::filesystem::path& folder, const TrajectoryManifest& manifest);  // atomically

// Prompts of a file, one a line; blank lines are passed over. InputError: no such file, none in it.
std::vector<std::string> read_prompts(const std::filesystem::path& file);

// What a consumer of trajectories expects of them; all throw InputError. `folder`: of the trajectories, for the message.
void require_teacher(const TrajectoryManifest& manifest, const std::filesystem::path& folder, const std::string& teacher_digest,
                     const std::filesystem::path& teacher_folder);
// Wanted: the same convention and scale. A set under the other convention is refused even where both mean the same; the message says
// what the scale would be.
void require_guidance(const TrajectoryManifest& manifest, const GuidanceConfig& wanted);
// The model takes such latents: channels, and multiples of the patch.
void require_latents(const TrajectoryManifest& manifest, int64_t channels, const std::vector<int64_t>& patch_size);

}  // namespace linden
