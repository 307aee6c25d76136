// Models on a card against the CPU, and inside a CUDA graph.
#include <ATen/Context.h>
#include <ATen/core/grad_mode.h>

#include <catch2/catch_test_macros.hpp>

#include "models/closed_form.h"
#include "models/prior.h"
#include "tests/support/support.h"
#ifdef LINDEN_HAS_CUDA
#include <ATen/cuda/CUDAContext.h>
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#endif

using namespace linden;

namespace {

const std::vector<PriorConfig> kPriors = {UNet2DPriorConfig{"configs/models/digits_unet", "formula:5"},
                                          UNet2DPriorConfig{"configs/models/cifar10_unet", "formula:3"}, GaussianMixturePriorConfig{},
                                          CheckerboardPriorConfig{}};

at::Tensor noisy_batch(const NoisePredictor& network, int64_t rows) {
  std::vector<int64_t> sizes = network.shape();
  sizes.insert(sizes.begin(), rows);
  return at::randn(sizes);
}

double relative_error(const at::Tensor& got, const at::Tensor& wanted) { return ((got.cpu() - wanted).norm() / wanted.norm()).item<double>(); }

}  // namespace

TEST_CASE("priors on a card equal the CPU, values and gradients", "[cuda]") {
  if (!at::hasCUDA()) SKIP("there is no CUDA card");
  at::globalContext().setAllowTF32CuBLAS(false);
  at::globalContext().setAllowTF32CuDNN(false);
  const at::Tensor t = at::tensor({0, 40, 99}, at::kLong);
  for (const PriorConfig& config : kPriors) {
    const Prior cpu = load_prior(config, at::kCPU), card = load_prior(config, at::Device(at::kCUDA, 0));
    at::Tensor x = noisy_batch(*cpu.network, 3).requires_grad_(true);
    at::Tensor y = x.detach().cuda().requires_grad_(true);
    const at::Tensor wanted = cpu.network->predict_noise(x, t), got = card.network->predict_noise(y, t.cuda());
    CHECK(relative_error(got.detach(), wanted.detach()) < 1e-5);
    wanted.sin().sum().backward();
    got.sin().sum().backward();
    CHECK(relative_error(y.grad(), x.grad()) < 1e-4);
  }
}

#ifdef LINDEN_HAS_CUDA
TEST_CASE("priors can be captured in a CUDA graph", "[cuda]") {
  if (!at::hasCUDA()) SKIP("there is no CUDA card");
  at::NoGradGuard no_grad;
  for (const PriorConfig& config : kPriors) {
    const Prior prior = load_prior(config, at::Device(at::kCUDA, 0));
    at::Tensor x = noisy_batch(*prior.network, 4).cuda(), t = at::tensor({1, 30, 60, 90}, at::kLong).cuda();
    const at::Tensor first = prior.network->predict_noise(x, t);
    at::cuda::CUDAGraph graph;
    at::Tensor captured;
    {
      const c10::cuda::CUDAStreamGuard on_side(c10::cuda::getStreamFromPool());
      prior.network->predict_noise(x, t);
      at::cuda::device_synchronize();
      graph.capture_begin();
      captured = prior.network->predict_noise(x, t);
      graph.capture_end();
    }
    graph.replay();
    at::cuda::device_synchronize();
    CHECK(relative_error(captured, first.cpu()) < 1e-5);
    x.copy_(noisy_batch(*prior.network, 4));
    t.copy_(at::tensor({99, 2, 50, 7}, at::kLong));
    graph.replay();
    at::cuda::device_synchronize();
    CHECK(relative_error(captured, prior.network->predict_noise(x, t).cpu()) < 1e-5);
  }
}
#endif
