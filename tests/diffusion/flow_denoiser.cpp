// A flow as a Denoiser: each row at its own level, equal to the sampler that steps all rows together.
#include "diffusion/flow_denoiser.h"

#include <ATen/ATen.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <numeric>

#include "core/error.h"
#include "diffusion/executor.h"
#include "tests/support/support.h"

using namespace linden;
using Catch::Matchers::ContainsSubstring;
using linden::test::message_of;

namespace {

// The exact velocity of data N(1, 0.5^2) in each number: E[eps - x0 | x].
at::Tensor gaussian_velocity(const at::Tensor& x, const at::Tensor& timestep) {
  constexpr double kMean = 1, kDeviation = 0.5;
  const at::Tensor sigma = (timestep / 1000).reshape({-1, 1, 1}), alpha = 1 - sigma;
  const at::Tensor variance = alpha * alpha * kDeviation * kDeviation + sigma * sigma;
  const at::Tensor centred = (x - alpha * kMean) / variance;
  return sigma * centred - (kMean + alpha * kDeviation * kDeviation * centred);
}

FlowNetwork network() { return {gaussian_velocity, {2, 3}, at::kCPU, 1}; }

std::vector<int64_t> counted(int64_t count) {
  std::vector<int64_t> indices(static_cast<size_t>(count));
  std::iota(indices.begin(), indices.end(), 0);
  return indices;
}

FlowSdeConfig sde(int64_t steps, double eta, const std::string& noise) {
  FlowSdeConfig config;
  config.num_steps = steps;
  config.eta = eta;
  config.noise = noise;
  return config;
}

}  // namespace

TEST_CASE("a chain over the denoiser is the sampler's own, for Euler and the stochastic steps", "[unit]") {
  FlowEulerConfig euler;
  euler.num_steps = 12;
  for (const FlowSamplerConfig& config : {FlowSamplerConfig(euler), FlowSamplerConfig(sde(12, 1, "ancestral")), FlowSamplerConfig(sde(12, 0.5, "renoise"))}) {
    const auto executor = make_executor(make_flow_denoiser(network(), config), 7, {});
    const at::Tensor chain = sample_chain(*executor, counted(9));
    const at::Tensor together = sample_flow(FlowSampler(config), gaussian_velocity, {2, 3}, 7, counted(9), at::kCPU);
    CHECK(at::allclose(chain, together, 1e-4, 1e-5));
    CHECK(at::allclose(sample_flow(FlowSampler(config), gaussian_velocity, {2, 3}, 7, std::vector<int64_t>{5}, at::kCPU)[0], together[5], 1e-5, 1e-5));
    CHECK(executor->count().nfe == 9 * 12);
  }
}

TEST_CASE("rows at different levels do not see each other", "[unit]") {
  const auto denoiser = make_flow_denoiser(network(), sde(10, 1, "ancestral"));
  CHECK(denoiser->num_levels() == 10);
  const at::Tensor state = at::linspace(-1, 1, 3 * 6).reshape({3, 2, 3}), noise = state.flip({0}) * 0.3;
  const at::Tensor levels = at::tensor({10, 4, 1}, at::kLong);
  const Transition all = denoiser->step(state, levels, noise, true);
  for (int64_t b = 0; b < 3; ++b) {
    const Transition one = denoiser->step(state.narrow(0, b, 1), levels.narrow(0, b, 1), noise.narrow(0, b, 1), true);
    CHECK(at::allclose(one.next[0], all.next[b]));
    CHECK(at::allclose(one.predicted_clean[0], denoiser->predict_clean(state, levels)[b]));
  }
  CHECK(all.deviation[0].item<float>() > 0);
  CHECK(all.deviation[2].item<float>() == 0);
  CHECK(at::allclose(all.next[2], all.predicted_clean[2], 1e-5, 1e-5));  // the last step ends at x0
  const at::Tensor drawn = all.mean + all.deviation.reshape({3, 1, 1}) * noise;
  CHECK(at::allclose(all.next, drawn));
}

TEST_CASE("the chain draws the Gaussian that the velocity belongs to", "[truth]") {
  FlowSdeConfig config = sde(400, 1, "ancestral");  // what a step loses of the variance vanishes with its size
  config.shift = 1;
  const auto executor = make_executor(make_flow_denoiser({gaussian_velocity, {1, 1}, at::kCPU, 1}, config), 3, {});
  const at::Tensor samples = sample_chain(*executor, counted(20000)).flatten();
  CHECK(std::abs(samples.mean().item<double>() - 1) < 0.02);
  CHECK(std::abs(samples.std().item<double>() - 0.5) < 0.02);
}

TEST_CASE("a sampler that remembers is no chain", "[unit]") {
  CHECK_THAT(message_of([] { make_flow_denoiser(network(), FlowUniPCConfig{}); }),
             ContainsSubstring("sampler.type unipc remembers earlier steps") && ContainsSubstring("use euler or flow_sde"));
  CHECK_THROWS_AS(make_flow_denoiser(network(), FlowDpmppConfig{}), InputError);
  int64_t steps = 0;
  FlowUniPCConfig unipc;
  unipc.num_steps = 5;
  sample_flow(FlowSampler(unipc), gaussian_velocity, {2, 3}, 7, counted(2), at::kCPU, [&](int64_t step) { steps = step; });
  CHECK(steps == 5);
}
