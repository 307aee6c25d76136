#include "transfer/trajectory_generator.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <numeric>

#include "core/error.h"
#include "diffusion/flow_chain.h"
#include "models/video_model.h"

namespace linden {
namespace {

at::Tensor encode_prompts(const VideoModel& teacher, const TrajectoryManifest& manifest) {
  try {
    return teacher.text_encoder->encode(manifest.prompts);
  } catch (const InputError& error) { throw InputError(fmt::format("{}: {}", manifest.prompt_file, error.what())); }
}

at::Tensor encode_negative(const VideoModel& teacher, const TrajectoryManifest& manifest) {
  try {
    return teacher.text_encoder->encode(std::vector<std::string>{manifest.negative_prompt});
  } catch (const InputError& error) { throw InputError(fmt::format("negative_prompt: {}", error.what())); }
}

std::vector<int64_t> with_front(std::vector<int64_t> front, const std::vector<int64_t>& shape) {
  front.insert(front.end(), shape.begin(), shape.end());
  return front;
}

}  // namespace

TeacherVelocity teacher_velocity(const VideoModel& teacher, const TrajectoryManifest& manifest, at::Device device) {
  const at::NoGradGuard no_grad;
  const at::Tensor text = encode_prompts(teacher, manifest).to(device), none = encode_negative(teacher, manifest).to(device);  // [P, L, D], [1, L, D]
  return [network = teacher.transformer, guidance = manifest.guidance, text, none](const at::Tensor& x, const at::Tensor& timestep, const at::Tensor& prompt) {
    const at::Tensor rows = text.index_select(0, prompt);
    return guided_velocity(network, guidance, x, timestep, rows, none.expand_as(rows));
  };
}

TrajectoryGenerator::TrajectoryGenerator(const TrajectoryManifest& manifest, TeacherVelocity teacher, at::Device device, at::Device storage)
    : manifest_(manifest),
      sampler_(manifest.sampler),
      teacher_(std::move(teacher)),
      device_(device),
      storage_(storage) {
  check(sampler_.num_steps() == manifest.num_steps && manifest.keep.back() < manifest.num_steps,
        "TrajectoryGenerator: a manifest of {} steps for a sampler of {}", manifest.num_steps, sampler_.num_steps());
}

Trajectories TrajectoryGenerator::generate(int64_t first, int64_t count, const std::function<void(int64_t)>& after_step) const {
  const at::NoGradGuard no_grad;
  const auto options = at::TensorOptions().device(storage_).dtype(manifest_.dtype == "bf16" ? at::kBFloat16 : at::kFloat);
  const std::vector<int64_t> shape = with_front({count, manifest_.num_kept()}, manifest_.latent_shape);
  Trajectories out;
  out.x = at::empty(shape, options);
  if (manifest_.has_velocity()) out.velocity = at::empty(shape, options);
  std::vector<int64_t> prompts;
  for (int64_t i = first; i < first + count; ++i) prompts.push_back(prompt_of(manifest_, i));
  out.prompt = at::tensor(prompts, at::kLong);
  for (int64_t row = 0; row < count; row += manifest_.batch_size) {
    std::vector<int64_t> indices(static_cast<size_t>(std::min(manifest_.batch_size, count - row)));
    std::iota(indices.begin(), indices.end(), first + row);
    const auto rows = static_cast<int64_t>(indices.size());
    run_batch(indices, row, out, [&](int64_t step) {
      if (after_step) after_step(row * num_steps() + rows * step);
    });
  }
  return out;
}

void TrajectoryGenerator::run_batch(std::span<const int64_t> indices, int64_t row, Trajectories& out, const std::function<void(int64_t)>& after_step) const {
  const auto rows = static_cast<int64_t>(indices.size());
  const at::Tensor prompt = out.prompt.narrow(0, row, rows).to(device_);
  int64_t step = 0, place = 0;  // of the sampler; in `keep`
  const VelocityFunction velocity = [&](const at::Tensor& x, const at::Tensor& timestep) {
    const at::Tensor u = teacher_(x, timestep, prompt);
    if (place < manifest_.num_kept() && manifest_.keep[static_cast<size_t>(place)] == step) {
      out.x.narrow(0, row, rows).select(1, place).copy_(x);
      if (out.velocity.defined()) out.velocity.narrow(0, row, rows).select(1, place).copy_(u);
      ++place;
    }
    ++step;
    return u;
  };
  sample_flow(sampler_, velocity, manifest_.latent_shape, static_cast<uint64_t>(manifest_.seed), indices, device_, after_step);
}

}  // namespace linden
