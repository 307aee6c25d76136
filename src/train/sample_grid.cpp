#include "train/sample_grid.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/nn/module.h>

#include <numeric>

#include "core/files.h"
#include "data/moving_digits.h"
#include "diffusion/executor.h"
#include "diffusion/flow_chain.h"
#include "io/apng.h"
#include "io/png.h"
#include "io/svg.h"

namespace linden {
namespace {

constexpr int64_t kPointsAPicture = 16;  // a point says less than a picture: so many for each asked sample

at::Tensor draw_samples(const Trainee& trainee, const NoisePredictionTask& task, at::Device device, uint64_t seed, int64_t count) {
  const at::NoGradGuard no_grad;
  trainee.module->eval();
  ExecutorConfig eager;
  eager.graphs = "off";  // the weights change between two grids
  const auto executor = make_executor(make_denoiser(as_noise_predictor(trainee, device), NoiseSchedule(task.schedule), task.sampler), seed, eager);
  std::vector<int64_t> indices(static_cast<size_t>(count));
  std::iota(indices.begin(), indices.end(), 0);
  const at::Tensor samples = sample_chain(*executor, indices).to(at::kCPU, at::kFloat);
  trainee.module->train();
  return samples;
}

constexpr int64_t kFrameMs = 150;

// ids of the captions that a grid shows: [count, L]
at::Tensor grid_captions(int64_t count) {
  std::vector<std::string> captions;
  for (int64_t i = 0; i < count; ++i) captions.push_back(clip_caption(i % 10, (i + i / 10) % static_cast<int64_t>(motions().size())));
  return clip_caption_table().encode(captions);
}

std::string scatter_of(const at::Tensor& points, int64_t step) {  // [S, 2]
  std::vector<std::pair<double, double>> pairs;
  for (int64_t i = 0; i < points.size(0); ++i) pairs.emplace_back(points[i][0].item<double>(), points[i][1].item<double>());
  ScatterFigure figure;
  figure.title = fmt::format("samples after {} steps", step);
  figure.x.label = "x";
  figure.y.label = "y";
  figure.series = {{"samples", std::move(pairs)}};
  return scatter_svg(figure);
}

}  // namespace

std::filesystem::path write_sample_grid(const std::filesystem::path& folder, int64_t step, const Trainee& trainee, const NoisePredictionTask& task,
                                        at::Device device, uint64_t seed, int64_t count) {
  if (trainee.example_shape.size() == 3) {
    const auto file = folder / fmt::format("samples_{}.png", step);
    write_png(file, contact_sheet(draw_samples(trainee, task, device, seed, count)), {{"step", std::to_string(step)}});
    return file;
  }
  const auto file = folder / fmt::format("samples_{}.svg", step);
  write_file_atomically(file, scatter_of(draw_samples(trainee, task, device, seed, count * kPointsAPicture), step));
  return file;
}

std::filesystem::path write_clip_grid(const std::filesystem::path& folder, int64_t step, const Trainee& trainee, const FlowMatchingTask& task,
                                      at::Device device, uint64_t seed, int64_t count) {
  trainee.module->eval();
  const at::Tensor captions = grid_captions(count).to(device), none = at::full_like(captions, CaptionTable::kPadding);
  const VelocityFunction velocity = [&](const at::Tensor& x, const at::Tensor& timestep) {
    if (!guidance_needs_unconditional(task.guidance)) return trainee.predict_velocity(x, timestep, captions).to(at::kFloat);
    const auto both = trainee.predict_velocity(at::cat({x, x}), at::cat({timestep, timestep}), at::cat({captions, none})).to(at::kFloat).chunk(2);
    return guide(task.guidance, both[0], both[1]);
  };
  std::vector<int64_t> indices(static_cast<size_t>(count));
  std::iota(indices.begin(), indices.end(), 0);
  const at::Tensor video = sample_flow(FlowSampler(task.sampler), velocity, trainee.example_shape, seed, indices, device).cpu();
  trainee.module->train();
  const auto file = folder / fmt::format("samples_{}.png", step);
  write_png(file, clip_sheet(video), {{"step", std::to_string(step)}});
  write_apng(folder / fmt::format("samples_{}.apng", step), clip_grid(video, 0, 2), kFrameMs, {{"step", std::to_string(step)}});
  return file;
}

}  // namespace linden
