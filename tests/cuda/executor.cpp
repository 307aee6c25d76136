// The CUDA-graph executor against eager steps, and the U-Net on the GPU against the CPU.
#include "diffusion/executor.h"

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <ATen/core/grad_mode.h>

#include <catch2/catch_test_macros.hpp>

#include "core/device.h"
#include "diffusion/sampler.h"
#include "models/prior.h"

using namespace linden;

namespace {

PriorConfig formula_prior() { return UNet2DPriorConfig{"configs/models/digits_unet", "formula:1"}; }

std::shared_ptr<Denoiser> denoiser_on(at::Device device) {
  const Prior prior = load_prior(formula_prior(), device);
  return make_denoiser(prior.network, prior.schedule, DdimConfig{});
}

at::Device set_up(const std::string& name, Float32Math math) {
  RunConfig run;
  run.device = name;
  return set_up_device(run, math);
}

double relative_error(const at::Tensor& got, const at::Tensor& wanted) { return ((got.cpu() - wanted.cpu()).norm() / wanted.cpu().norm()).item<double>(); }

}  // namespace

TEST_CASE("the U-Net on the GPU equals the CPU: 1e-4 in exact fp32, 1e-3 in TF32", "[cuda]") {
  if (!at::hasCUDA()) SKIP("no CUDA device");
  const at::NoGradGuard no_grad;
  const at::Tensor x = at::randn({3, 1, 32, 32}), t = at::tensor(std::vector<int64_t>{0, 500, 980});
  set_up("cpu", Float32Math::kExact);
  const at::Tensor wanted = load_prior(formula_prior(), at::kCPU).network->predict_noise(x, t);
  for (const auto& [math, bound] : {std::pair{Float32Math::kExact, 1e-4}, {Float32Math::kTf32, 1e-3}}) {
    const at::Device device = set_up("cuda", math);
    CHECK(relative_error(load_prior(formula_prior(), device).network->predict_noise(x.to(device), t.to(device)), wanted) <= bound);
  }
}

TEST_CASE("graph steps equal eager steps for batches that fill their bucket and that do not", "[cuda]") {
  if (!at::hasCUDA()) SKIP("no CUDA device");
  set_up("cuda", Float32Math::kExact);
  const auto denoiser = denoiser_on(at::kCUDA);
  const auto eager = make_executor(denoiser, 3, {.graphs = "off"}), graphs = make_executor(denoiser, 3, {.graphs = "auto", .max_graph_batch = 20});
  for (int64_t batch : {1, 3, 8, 33}) {  // 33: in parts of 20
    std::vector<int64_t> indices, levels;
    for (int64_t b = 0; b < batch; ++b) {
      indices.push_back(1000 + 7 * b);
      levels.push_back(1 + (5 * b) % 50);
    }
    at::Tensor a = eager->initial(indices), b = graphs->initial(indices);
    CHECK(at::equal(a, b));
    CHECK(relative_error(graphs->advance(b, levels, indices), eager->advance(a, levels, indices)) <= 1e-5);
  }
  CHECK(graphs->count().nfe == eager->count().nfe);
  CHECK(graphs->count().network_calls == eager->count().network_calls);
}

TEST_CASE("whole trajectories on graphs are bit-equal when repeated and agree across batch sizes", "[cuda]") {
  if (!at::hasCUDA()) SKIP("no CUDA device");
  set_up("cuda", Float32Math::kExact);
  const auto denoiser = denoiser_on(at::kCUDA);
  const auto run = [&](std::vector<int64_t> indices) { return sample_chain(*make_executor(denoiser, 5, {}), indices); };
  const at::Tensor together = run({3, 8, 1, 12, 40});
  CHECK(at::equal(together, run({3, 8, 1, 12, 40})));
  CHECK((together[1] - run({8})[0]).abs().max().item<double>() <= 1e-3);
}
