#include "train/sample_grid.h"

#include <torch/torch.h>

#include <numeric>

#include "core/run_directory.h"
#include "diffusion/executor.h"
#include "io/png.h"
#include "io/svg.h"

namespace linden {
namespace {

constexpr int64_t kPointsAPicture = 16;   // a point says less than a picture: so many for each asked sample

at::Tensor draw_samples(const Trainee& trainee, const NoisePredictionTask& task, at::Device device, uint64_t seed, int64_t count) {
  const torch::NoGradGuard no_grad;
  trainee.module->eval();
  ExecutorConfig eager;
  eager.graphs = "off";   // the weights change between two grids
  const auto executor = make_executor(make_denoiser(as_noise_predictor(trainee, device), NoiseSchedule(task.schedule), task.sampler), seed, eager);
  std::vector<int64_t> indices(static_cast<size_t>(count));
  std::iota(indices.begin(), indices.end(), 0);
  const at::Tensor samples = sample_chain(*executor, indices).to(at::kCPU, at::kFloat);
  trainee.module->train();
  return samples;
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

std::filesystem::path write_sample_grid(const std::filesystem::path& folder, int64_t step, const Trainee& trainee,
                                        const NoisePredictionTask& task, at::Device device, uint64_t seed, int64_t count) {
  if (trainee.example_shape.size() == 3) {
    const auto file = folder / fmt::format("samples_{}.png", step);
    write_png(file, contact_sheet(draw_samples(trainee, task, device, seed, count)), {{"step", std::to_string(step)}});
    return file;
  }
  const auto file = folder / fmt::format("samples_{}.svg", step);
  write_file_atomically(file, scatter_of(draw_samples(trainee, task, device, seed, count * kPointsAPicture), step));
  return file;
}

}  // namespace linden
