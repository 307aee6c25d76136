// Where a transfer's training examples come from: pairs (x_t, u_t) on the teacher's own paths, stored or made as training goes.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "transfer/trajectory_generator.h"
#include "transfer/trajectory_manifest.h"

namespace linden {

class TrajectoryShard;

struct TrajectoryBatch {
  at::Tensor x;                            // [B, C, F, Y, X] fp32 on the device
  at::Tensor velocity;                     // the same, guided; undefined where it was not stored
  at::Tensor sigma, next_sigma, timestep;  // [B] fp32; next_sigma: the sampler's next level (0 after the last step)
  at::Tensor step;                         // [B] int64, of the sampler, from 0 at the noise
  at::Tensor prompt;                       // [B] int64, rows of prompts()
};

class TrajectorySource {
 public:
  virtual ~TrajectorySource() = default;
  // Makes the set ready for training step `step` (from 0): host work and, in a rolling set, the teacher's. Outside of graphs; addresses stay.
  virtual void prepare(int64_t step) = 0;
  // Pairs `rows` [B] int64 on the device, each in 0 .. size() - 1, as they are at training step `step`, which prepare() was told.
  // Where on_device(): gathers alone, no host reads, capturable in a CUDA graph (replays see what prepare() put there since).
  virtual TrajectoryBatch batch(const at::Tensor& rows, int64_t step) = 0;
  virtual int64_t size() const = 0;  // pairs: trajectories times kept steps
  virtual bool on_device() const = 0;
  const std::vector<std::string>& prompts() const { return manifest_.prompts; }
  const TrajectoryManifest& manifest() const { return manifest_; }

 protected:
  TrajectorySource(TrajectoryManifest manifest, at::Device device);
  // The batch but for its latents. prompt_of_trajectory: [T] int64 on the device.
  TrajectoryBatch place(const at::Tensor& rows, const at::Tensor& prompt_of_trajectory) const;
  void check_rows(const at::Tensor& rows) const;

  TrajectoryManifest manifest_;
  at::Device device_;

 private:
  at::Tensor sigma_, next_sigma_, timestep_, step_;  // [K] on the device, by place in manifest.keep
};

// A folder that `linden trajectories` has finished.
class StoredTrajectories final : public TrajectorySource {
 public:
  // All of it is loaded onto the device where it takes at most `device_bytes` there (bf16 stays bf16 and is widened as it is gathered);
  // else every batch is read from the mapped files. verify: compare the checksums of the shards (1 GB/s). Throws InputError: what read_manifest and
  // TrajectoryShard refuse, shards that were not made yet.
  StoredTrajectories(const std::filesystem::path& folder, at::Device device, int64_t device_bytes, bool verify = true);
  ~StoredTrajectories() override;

  void prepare(int64_t) override {}
  TrajectoryBatch batch(const at::Tensor& rows, int64_t step) override;
  int64_t size() const override { return manifest_.num_pairs(); }
  bool on_device() const override { return x_.defined(); }

 private:
  void load(const std::filesystem::path& folder, bool verify);
  at::Tensor read_rows(const at::Tensor& rows, bool velocity) const;

  std::vector<std::unique_ptr<TrajectoryShard>> shards_;  // where not on the device
  at::Tensor x_, velocity_;                               // [pairs, C, F, Y, X] on the device
  at::Tensor prompt_;                                     // [T] on the device
};

struct RollingConfig {
  int64_t capacity = 64;      // trajectories at hand
  int64_t refill = 8;         // that are replaced at once, the oldest; divides capacity
  int64_t refill_every = 50;  // training steps
  int64_t held_out = 0;       // more trajectories, the last ones of the set, that are never replaced; no key of the config
};
void visit_fields(FieldVisitor& v, RollingConfig& c);

// Trajectories for which there is no room: a buffer on the device, in which the oldest give way to new ones. After g refills it holds
// trajectories g refill .. g refill + capacity - 1, number t in slot t mod capacity: training step s decides the content, so a
// resumed run has the same, bit for bit. Those held out are numbers kFirstHeldOut .., which no refill reaches.
class RollingTrajectories final : public TrajectorySource {
 public:
  // manifest: what a trajectory is (describe_trajectories in trajectory_run.h); num_trajectories and shards do not matter. Throws ConfigError: a capacity that refill does
  // not divide.
  RollingTrajectories(const TrajectoryManifest& manifest, TeacherVelocity teacher, const RollingConfig& config, at::Device device);

  void prepare(int64_t step) override;
  TrajectoryBatch batch(const at::Tensor& rows, int64_t step) override;
  int64_t size() const override { return (config_.capacity + config_.held_out) * manifest_.num_kept(); }
  bool on_device() const override { return true; }

 private:
  static constexpr int64_t kFirstHeldOut = int64_t{1} << 30;
  void make_block(int64_t block);                        // trajectories block * refill ...
  void put(int64_t first, int64_t count, int64_t slot);  // trajectories first .. first + count - 1 into slot ..

  RollingConfig config_;
  TrajectoryGenerator generator_;
  int64_t first_block_ = -1;  // oldest in the buffer; -1: empty
  bool filled_once_ = false;  // from then on an interruption waits for the training step, which can save what there is
  at::Tensor x_, velocity_;   // [(capacity + held_out) K, C, F, Y, X]
  at::Tensor prompt_;         // [capacity + held_out]
};

}  // namespace linden
