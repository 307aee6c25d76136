// A teacher's paths from noise to data, with what the network was given and what it said at the steps that are kept.
//
// Under unipc x_t is the predicted point, before correction: the pair (x_t, u_t) is what the network saw and said.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <functional>
#include <span>

#include "diffusion/flow_sampler.h"
#include "transfer/trajectory_manifest.h"

namespace linden {

struct VideoModel;

// The teacher's guided velocity, fp32, as x. x: [B, C, F, Y, X] fp32; timestep: [B] fp32; prompt: [B] int64 rows of the prompts. All on
// the device.
using TeacherVelocity = std::function<at::Tensor(const at::Tensor& x, const at::Tensor& timestep, const at::Tensor& prompt)>;

// The prompts are encoded once. InputError: a prompt that the text encoder cannot read, with its place.
TeacherVelocity teacher_velocity(const VideoModel& teacher, const TrajectoryManifest& manifest, at::Device device);

struct Trajectories {
  at::Tensor x;         // [T, K, C, F, Y, X] in the manifest's dtype
  at::Tensor velocity;  // the same, or undefined
  at::Tensor prompt;    // [T] int64
};

class TrajectoryGenerator {
 public:
  // What a trajectory is: the manifest's sampler, seed, latent shape, kept steps, prompts. Latents are left on `storage`.
  TrajectoryGenerator(const TrajectoryManifest& manifest, TeacherVelocity teacher, at::Device device, at::Device storage);

  // Trajectories first .. first + count - 1, in batches of manifest.batch_size counted from `first`. Trajectory i has the noise of stream
  // (seed, i); in a batch of another size it may differ by rounding, so the same (first, count) gives the same bits.
  // `after_step` is called with the function evaluations done; it may throw to stop.
  Trajectories generate(int64_t first, int64_t count, const std::function<void(int64_t)>& after_step = {}) const;

  int64_t num_steps() const { return sampler_.num_steps(); }

 private:
  void run_batch(std::span<const int64_t> indices, int64_t row, Trajectories& out, const std::function<void(int64_t)>& after_step) const;

  TrajectoryManifest manifest_;
  FlowSampler sampler_;
  TeacherVelocity teacher_;
  at::Device device_, storage_;
};

}  // namespace linden
