// The closed-form priors against autograd, against Monte Carlo, and against their own known totals.
#include "models/closed_form.h"

#include <ATen/core/grad_mode.h>
#include <torch/autograd.h>

#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <cmath>
#include <memory>

#include "core/random.h"
#include "models/prior.h"
#include "tests/support/support.h"

using namespace linden;

namespace {

std::vector<double> toy_alpha_bar() { return NoiseSchedule(toy_schedule()).alpha_bar; }

// Both priors of the toys.
std::vector<std::shared_ptr<ClosedFormPrior>> priors() {
  return {std::make_shared<GaussianMixture>(ring_of_modes(), toy_alpha_bar()), std::make_shared<Checkerboard>(toy_alpha_bar())};
}

// Noisy points at timesteps spread over the schedule, some of them far outside the data. fp64.
std::pair<at::Tensor, at::Tensor> noisy_points() {
  at::Tensor x = at::empty({400, 2}, at::kDouble), t = at::empty({400}, at::kLong);
  RandomStream stream(3, Purpose::kEvaluation, 0);
  for (int64_t b = 0; b < 400; ++b) {
    t[b] = static_cast<int64_t>(stream.below(100));
    for (int j = 0; j < 2; ++j) x[b][j] = (b % 10 == 0 ? 12.0 : 3.0) * stream.normal();
  }
  return {x, t};
}

double largest(const at::Tensor& difference) { return difference.abs().max().item<double>(); }

}  // namespace

TEST_CASE("the noise prediction is the score of the noisy density", "[truth]") {
  const auto [points, t] = noisy_points();
  const at::Tensor s = at::tensor(toy_alpha_bar(), at::kDouble).index_select(0, t).neg().add(1).sqrt().unsqueeze(1);
  for (const auto& prior : priors()) {
    at::Tensor x = points.clone().requires_grad_(true);
    const at::Tensor score = torch::autograd::grad({prior->log_density(x, t).sum()}, {x})[0];
    const at::Tensor wanted = -s * score;
    const at::Tensor composed = prior->predict_noise(x, t);     // with gradient: tensor operations
    const at::Tensor looped = prior->predict_noise(points, t);  // without: the plain loop
    const at::Tensor scale = wanted.abs() + 1;
    CHECK(largest((composed - wanted) / scale) < 1e-9);
    CHECK(largest((looped - composed) / scale) < 1e-9);
    const at::Tensor single = prior->predict_noise(points.to(at::kFloat), t);
    CHECK(single.scalar_type() == at::kFloat);
    CHECK(largest((single.to(at::kDouble) - prior->predict_noise(points.to(at::kFloat).to(at::kDouble), t)) / scale) < 1e-6);
  }
}

TEST_CASE("the noise prediction is differentiable", "[truth]") {
  const auto [points, t] = noisy_points();
  for (const auto& prior : priors()) {
    at::Tensor x = points.clone().requires_grad_(true);
    const at::Tensor direction = at::ones_like(points);
    const at::Tensor gradient = torch::autograd::grad({prior->predict_noise(x, t).sin().sum(1).sum()}, {x})[0];
    const double step = 1e-6;
    const at::Tensor numeric =
        (prior->predict_noise(points + step * direction, t).sin().sum(1) - prior->predict_noise(points - step * direction, t).sin().sum(1)) / (2 * step);
    const at::Tensor analytic = gradient.sum(1);
    CHECK(largest((analytic - numeric) / (analytic.abs() + 1)) < 1e-5);
  }
}

TEST_CASE("far from the data the noise prediction stays finite and points back", "[unit]") {
  const at::Tensor t = at::tensor({0, 0, 50, 99}, at::kLong);
  const at::Tensor x = at::tensor({300.0, -2.0, -40.0, 40.0, 1e4, 1e4, -500.0, 3.0}, at::kDouble).view({4, 2});
  for (const auto& prior : priors()) {
    const at::Tensor looped = prior->predict_noise(x, t);
    const at::Tensor composed = prior->predict_noise(x.clone().requires_grad_(true), t);
    CHECK(looped.isfinite().all().item<bool>());
    CHECK(largest((looped - composed) / (looped.abs() + 1)) < 1e-7);  // logarithms of 1e8 are subtracted here
    CHECK(looped[0][0].item<double>() > 0);
    CHECK(looped[3][0].item<double>() < 0);
  }
}

TEST_CASE("the noisy density integrates to one", "[truth]") {
  const at::Tensor line = at::linspace(-8, 8, 401, at::kDouble);
  const std::vector<at::Tensor> grid = at::meshgrid({line, line}, "ij");
  const at::Tensor x = at::stack({grid[0].flatten(), grid[1].flatten()}, 1);
  for (const auto& prior : priors()) {
    for (const int64_t t : {10, 60, 99}) {
      const at::Tensor density = prior->log_density(x, at::full({x.size(0)}, t, at::kLong)).exp();
      CHECK(std::abs(density.sum().item<double>() * 0.04 * 0.04 - 1) < 1e-6);
    }
  }
}

TEST_CASE("the noise prediction is the mean noise given x_t, on average", "[truth]") {
  // E[eps f(x_t)] = E[eps_hat(x_t) f(x_t)] for every f; here f = sin.
  const int64_t n = 200000;
  for (const auto& prior : priors()) {
    for (const int64_t step : {5, 40, 90}) {
      const double alpha_bar = toy_alpha_bar()[step];
      at::Tensor noise = at::empty({n, 2}, at::kFloat);
      fill_normal(1, Purpose::kEvaluation, 7, static_cast<uint32_t>(step), {noise.mutable_data_ptr<float>(), static_cast<size_t>(2 * n)});
      const at::Tensor x = std::sqrt(alpha_bar) * prior->sample(n, 11) + std::sqrt(1 - alpha_bar) * noise;
      const at::Tensor predicted = prior->predict_noise(x, at::full({n}, step, at::kLong));
      const at::Tensor gap = ((noise - predicted) * x.sin()).mean(0);
      CHECK(largest(gap) < 5.0 / std::sqrt(static_cast<double>(n)));
    }
  }
}

TEST_CASE("the default mixture and its reward have the paper's numbers", "[truth]") {
  const MixtureReward reward(ring_of_modes());
  CHECK(std::abs(reward.root_value() - 10.173) < 5e-4);
  const std::vector<double> masses = reward.target_masses();
  CHECK(std::abs(masses[7] - 0.7769) < 1e-4);
  CHECK(std::abs(masses[6] / masses[7] - std::exp(-1.5)) < 1e-12);
  CHECK(std::abs(toy_alpha_bar()[99] - 0.0263) < 5e-5);
  // Root value and masses again by Monte Carlo over the prior.
  const GaussianMixture prior(ring_of_modes(), toy_alpha_bar());
  const at::Tensor tilt = reward(prior.sample(200000, 5)).to(at::kDouble).exp();
  CHECK(std::abs(tilt.mean().log().item<double>() - reward.root_value()) < 0.02);
}

TEST_CASE("rewards are the same with and without gradient", "[unit]") {
  const auto [points, t] = noisy_points();
  const at::Tensor x = points.to(at::kFloat);
  const MixtureReward reward(ring_of_modes());
  const at::Tensor composed = reward(x.clone().requires_grad_(true));
  CHECK(composed.requires_grad());
  CHECK(largest(composed - reward(x)) < 1e-4);
}

TEST_CASE("soft values agree with their average over the exact posterior", "[truth]") {
  // E over x_t of e^{V_t(x_t)} is e^{root value} at every t.
  const MixtureReward reward(ring_of_modes());
  const GaussianMixture prior(ring_of_modes(), toy_alpha_bar());
  const int64_t n = 100000;
  for (const int64_t step : {20, 80}) {
    const double alpha_bar = toy_alpha_bar()[step];
    const at::Tensor x = std::sqrt(alpha_bar) * prior.sample(n, 2) + std::sqrt(1 - alpha_bar) * at::randn({n, 2});
    const double mean = reward.soft_value(x, alpha_bar).to(at::kDouble).exp().mean().log().item<double>();
    CHECK(std::abs(mean - reward.root_value()) < 0.04);
  }
}

TEST_CASE("draws from the targets have the exact masses", "[truth]") {
  const int64_t n = 100000;
  const MixtureReward mixture(ring_of_modes());
  const at::Tensor points = mixture.sample_target(n, 3);
  const std::vector<double> masses = mixture.target_masses();
  for (int64_t k = 0; k < 8; ++k) {
    const at::Tensor centre = at::tensor({mixture.modes().means[k][0], mixture.modes().means[k][1]}, at::kFloat);
    const double share = ((points - centre).norm(2, 1) < 1.4).to(at::kDouble).mean().item<double>();
    CHECK(std::abs(share - masses[k]) < 0.006);
  }
  const CheckerboardReward checkerboard;
  const at::Tensor board = checkerboard.sample_target(n, 3).to(at::kDouble);
  const std::vector<double> square_masses = checkerboard.target_masses();
  double total = 0;
  for (size_t k = 0; k < 8; ++k) {
    const Point2 corner = checkerboard_squares()[k];
    const at::Tensor low = at::tensor({corner[0], corner[1]}, at::kDouble);
    const at::Tensor inside = (board >= low).logical_and(board <= low + 2).all(1);
    CHECK(std::abs(inside.to(at::kDouble).mean().item<double>() - square_masses[k]) < 0.006);
    total += square_masses[k];
  }
  CHECK(std::abs(total - 1) < 1e-12);
  // Root value again by a midpoint rule over the squares, and E|x|^2 of the draws against the same rule.
  const at::Tensor offsets = (at::arange(400, at::kDouble) + 0.5) / 200;
  double sum = 0, squared = 0;
  for (const Point2& corner : checkerboard_squares()) {
    const at::Tensor squares = (corner[0] + offsets).square().unsqueeze(1) + (corner[1] + offsets).square();
    sum += squares.mul(-0.5).exp().mean().item<double>() / 8;
    squared += (squares * squares.mul(-0.5).exp()).mean().item<double>() / 8;
  }
  CHECK(std::abs(std::log(sum) - checkerboard.root_value()) < 1e-5);
  CHECK(std::abs(board.square().sum(1).mean().item<double>() - squared / sum) < 0.02);
}

TEST_CASE("draws do not depend on how many there are", "[unit]") {
  for (const auto& prior : priors()) {
    CHECK(at::equal(prior->sample(10, 4), prior->sample(100, 4).narrow(0, 0, 10)));
    CHECK_FALSE(at::equal(prior->sample(10, 4), prior->sample(10, 5)));
  }
}

TEST_CASE("a call at batch one takes microseconds", "[unit]") {
  at::NoGradGuard no_grad;
  const at::Tensor x = at::randn({1, 2}), t = at::full({1}, 30, at::kLong);
  for (const auto& prior : priors()) {
    prior->predict_noise(x, t);
    double best = 1e9;  // the best of several rounds: the machine may be busy
    for (int round = 0; round < 20; ++round) {
      const auto start = std::chrono::steady_clock::now();
      for (int i = 0; i < 500; ++i) prior->predict_noise(x, t);
      best = std::min(best, std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count() / 500);
    }
    UNSCOPED_INFO("microseconds a call: " << best);
    CHECK(best < 10);
  }
}

TEST_CASE("closed forms refuse what they cannot take", "[unit]") {
  GaussianMixture prior(ring_of_modes(), toy_alpha_bar());
  const at::Tensor t = at::zeros({1}, at::kLong);
  CHECK(test::message_of([&] { prior.predict_noise(at::zeros({1, 3}), t); }).find("x is [1, 3] and timesteps [1]") != std::string::npos);
  CHECK(test::message_of([&] { prior.predict_noise(at::zeros({1, 2}), t + 100); }).find("timestep 100 in row 0, allowed 0..99") != std::string::npos);
  CHECK(test::message_of([&] { GaussianMixture(ring_of_modes(), {}); }).find("table is empty") != std::string::npos);
  CHECK(test::message_of([&] { GaussianMixture(ring_of_modes(65), toy_alpha_bar()); }).find("65 modes, allowed 1..64") != std::string::npos);
  CHECK(test::message_of([&] { MixtureReward(ring_of_modes(), {1, 2}); }).find("2 weights for 8 modes") != std::string::npos);
}
