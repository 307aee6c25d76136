// The stochastic flow step: its two ends, its marginals on Gaussian data.
#include "diffusion/flow_sde.h"

#include <ATen/ATen.h>

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>

#include "diffusion/flow_path.h"
#include "tests/diffusion/gaussian_flow.h"
#include "tests/support/support.h"

using namespace linden;

namespace {

struct Moments {
  double mean = 0, variance = 0;
};

// Mean and variance after the whole chain, exactly: each step is affine in x, x' = a x + b + tau z.
Moments chain_moments(const FlowSdeConfig& config, const test::GaussianFlow& data) {
  const FlowSampler sampler(config);
  const auto& sigma = sampler.schedule().sigma;
  Moments m{data.mean(sigma[0]), data.variance(sigma[0])};
  const at::Tensor x = at::tensor(std::vector<double>{0.0, 1.0}), noise = at::zeros_like(x);
  FlowHistory history;
  for (size_t i = 0; i + 1 < sigma.size(); ++i) {
    const FlowStep step = sampler.step(history, x, data.velocity(x, sigma[i]), noise);
    const double b = step.mean[0].item<double>(), a = step.mean[1].item<double>() - b;
    m = {a * m.mean + b, a * a * m.variance + step.deviation * step.deviation};
    history = step.history;
  }
  return m;
}

FlowSdeConfig sde(int64_t steps, double eta, const char* noise) { return FlowSdeConfig{{steps, 3.0, "wan"}, eta, noise}; }

at::Generator seeded(uint64_t seed) { return at::detail::createCPUGenerator(seed); }

}  // namespace

TEST_CASE("flow_sde: eta 0 is the Euler step, bit for bit", "[truth]") {
  const at::Tensor x = at::randn({2, 3}, seeded(1)), u = at::randn({2, 3}, seeded(2)), z = at::randn({2, 3}, seeded(3));
  const FlowSampler euler(FlowEulerConfig{{8, 3.0, "wan"}});
  for (const char* noise : {"renoise", "ancestral"}) {
    const FlowSampler sampler(sde(8, 0.0, noise));
    for (FlowHistory history; history.step < 8; ++history.step) {
      const FlowStep step = sampler.step(history, x, u, z);
      CHECK(at::equal(step.next, euler.step(history, x, u).next));
      CHECK(step.deviation == 0.0);
    }
  }
}

TEST_CASE("flow_sde: renoise with eta 1 draws from the path at the predicted x0", "[truth]") {
  const at::Tensor x = at::randn({2, 3}, seeded(1)), u = at::randn({2, 3}, seeded(2)), z = at::randn({2, 3}, seeded(3));
  const FlowSampler sampler(sde(8, 1.0, "renoise"));
  const FlowStep step = sampler.step({}, x, u, z);
  const at::Tensor wanted = flow_interpolate(step.predicted_clean, z, at::full({2}, sampler.schedule().sigma[1]));
  CHECK((step.next - wanted).abs().max().item<double>() <= 1e-6);
  CHECK(step.deviation == Catch::Approx(sampler.schedule().sigma[1]));
  CHECK((step.next - step.mean - step.deviation * z).abs().max().item<double>() <= 1e-6);
}

TEST_CASE("flow_sde: ancestral with eta 1 is the posterior of the forward process", "[truth]") {
  // x_sigma given x_sigma' is N(q x', sigma^2 - q^2 sigma'^2), q = (1 - sigma) / (1 - sigma'); with x_sigma' ~ N((1 - sigma') x0, sigma'^2)
  // Gaussian conditioning gives the mean and variance of x_sigma' given x_sigma and x0.
  const double sigma = 0.8, next = 0.55, x0 = 1.7, eps = -0.4, x = (1 - sigma) * x0 + sigma * eps, q = (1 - sigma) / (1 - next);
  const double variance = next * next * (1 - q * q * next * next / (sigma * sigma));
  const double mean = (1 - next) * x0 + q * next * next / (sigma * sigma) * (x - (1 - sigma) * x0);
  const FlowNoiseSplit split = split_flow_noise(sde(8, 1.0, "ancestral"), sigma, next);
  CHECK(split.deviation == Catch::Approx(std::sqrt(variance)).epsilon(1e-12));
  const at::Tensor got =
      flow_sde_mean(split, static_cast<float>(sigma), static_cast<float>(next), at::full({1}, x, at::kDouble), at::full({1}, eps - x0, at::kDouble));
  CHECK(got.item<double>() == Catch::Approx(mean).epsilon(1e-6));
}

TEST_CASE("flow_sde: with the true x0 and noise, mean and variance are kept for every eta", "[truth]") {
  const test::GaussianFlow data;
  constexpr int64_t kRows = 200000;
  const at::Tensor x0 = data.mu + data.s * at::randn({kRows, 1}, seeded(4)), eps = at::randn({kRows, 1}, seeded(5)), z = at::randn({kRows, 1}, seeded(6));
  for (const char* noise : {"renoise", "ancestral"}) {
    for (const double eta : {0.0, 0.3, 0.7, 1.0}) {
      const FlowSampler sampler(sde(6, eta, noise));
      for (FlowHistory history; history.step < 6; ++history.step) {
        const double sigma = sampler.schedule().sigma[static_cast<size_t>(history.step)],
                     next = sampler.schedule().sigma[static_cast<size_t>(history.step) + 1];
        const at::Tensor x = flow_interpolate(x0, eps, at::full({kRows}, sigma));
        const FlowStep step = sampler.step(history, x, flow_velocity(x0, eps), z);
        INFO(noise << ", eta " << eta << ", sigma " << sigma << " to " << next);
        const double variance = data.variance(next);
        CHECK(step.next.mean().item<double>() == Catch::Approx(data.mean(next)).margin(5 * std::sqrt(variance / kRows)));
        CHECK(step.next.var().item<double>() == Catch::Approx(variance).margin(5 * variance * std::sqrt(2.0 / kRows)));
      }
    }
  }
}

TEST_CASE("flow_sde: with a velocity network, ancestral chains end in the data's distribution as N grows", "[truth]") {
  const test::GaussianFlow data;
  for (const double eta : {0.0, 0.3, 0.7, 1.0}) {
    const Moments coarse = chain_moments(sde(100, eta, "ancestral"), data), fine = chain_moments(sde(400, eta, "ancestral"), data);
    INFO("eta " << eta << ": mean " << fine.mean << ", variance " << fine.variance);
    CHECK(fine.mean == Catch::Approx(data.mu).margin(1e-5));
    CHECK(fine.variance == Catch::Approx(data.s * data.s).epsilon(0.05));
    CHECK(std::abs(fine.variance - 0.25) < 0.3 * std::abs(coarse.variance - 0.25));  // first order
  }
}

TEST_CASE("flow_sde: renoise with a velocity network loses the variance of x0 given x", "[truth]") {
  const test::GaussianFlow data;
  const FlowSampler sampler(sde(20, 1.0, "renoise"));
  const double sigma = sampler.schedule().sigma[0], next = sampler.schedule().sigma[1];
  const at::Tensor x = at::tensor(std::vector<double>{0.0, 1.0});
  const FlowStep step = sampler.step({}, x, data.velocity(x, sigma), at::zeros_like(x));
  const double slope = (step.mean[1] - step.mean[0]).item<double>();
  const double of_mean = (1 - sigma) * (1 - sigma) * std::pow(data.s, 4) / data.variance(sigma);  // variance of E[x0 | x]
  CHECK(slope * slope * data.variance(sigma) + step.deviation * step.deviation == Catch::Approx((1 - next) * (1 - next) * of_mean + next * next).epsilon(1e-6));
  // However many steps: V' = (1 - sigma')^2 Var E[x0 | x] + sigma'^2 rests at s^2 / 2 as sigma and the steps go to 0.
  for (const int64_t steps : {100, 400, 1600})
    CHECK(chain_moments(sde(steps, 1.0, "renoise"), data).variance == Catch::Approx(0.5 * data.s * data.s).epsilon(0.12));
}

TEST_CASE("flow_sde: drawn chains have the moments of the closed form", "[truth]") {
  const test::GaussianFlow data;
  constexpr int64_t kRows = 40000;
  const FlowSdeConfig config = sde(30, 0.7, "ancestral");
  const FlowSampler sampler(config);
  const double first = sampler.schedule().sigma[0];
  at::Generator draws = seeded(7);
  const at::Tensor start = data.mean(first) + std::sqrt(data.variance(first)) * at::randn({kRows, 1}, draws);
  const at::Tensor end = test::run_flow(
      sampler, start, [&](const auto& x, double sigma) { return data.velocity(x, sigma); }, [&](const auto& x) { return at::randn(x.sizes(), draws); });
  const Moments wanted = chain_moments(config, data);
  CHECK(end.mean().item<double>() == Catch::Approx(wanted.mean).margin(5 * std::sqrt(wanted.variance / kRows)));
  CHECK(end.var().item<double>() == Catch::Approx(wanted.variance).epsilon(5 * std::sqrt(2.0 / kRows)));
}

TEST_CASE("flow_sde: a step that does not go down is refused", "[unit]") {
  CHECK(test::message_of([] { split_flow_noise({}, 0.5, 0.5); }) == "flow_sde: the step goes from sigma 0.5 to 0.5, wanted 0 <= next < sigma <= 1");
}
