#include <ATen/ATen.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "tests/support/support.h"
#include "train/batch_plan.h"
#include "train/loss_log.h"
#include "train/objective.h"

using namespace linden;
using Catch::Matchers::ContainsSubstring;

TEST_CASE("a step's draw depends on seed and step alone", "[unit]") {
  const BatchPlanConfig config{7, 100, 8, 50, 2};
  BatchPlan forward(config, at::kCPU), jumping(config, at::kCPU);
  std::vector<StepDraw> draws;
  for (int64_t step = 1; step <= 140; ++step) draws.push_back(forward.at(step));
  for (int64_t step : {140, 3, 66, 65, 64}) {
    const StepDraw draw = jumping.at(step), &wanted = draws[step - 1];
    CHECK(at::equal(draw.examples, wanted.examples));
    CHECK(at::equal(draw.timesteps, wanted.timesteps));
    CHECK(at::equal(draw.shifts, wanted.shifts));
    CHECK(draw.steps.eq(step - 1).all().item<bool>());
  }
  BatchPlan other({8, 100, 8, 50, 2}, at::kCPU);
  CHECK_FALSE(at::equal(other.at(1).examples, draws[0].examples));
  CHECK_FALSE(at::equal(other.at(1).timesteps, draws[0].timesteps));
}

TEST_CASE("an epoch shows no example twice; timesteps and shifts fill their range", "[unit]") {
  BatchPlan plan({1, 100, 8, 50, 2}, at::kCPU);
  CHECK(plan.steps_per_epoch() == 12);
  std::vector<at::Tensor> examples, timesteps, shifts;
  for (int64_t step = 1; step <= 12; ++step) examples.push_back(plan.at(step).examples);
  for (int64_t step = 1; step <= 200; ++step) {
    timesteps.push_back(plan.at(step).timesteps);
    shifts.push_back(plan.at(step).shifts);
  }
  const at::Tensor epoch = at::cat(examples);
  CHECK(std::get<0>(at::_unique(epoch)).size(0) == 96);
  CHECK_FALSE(at::equal(plan.at(13).examples, plan.at(1).examples));
  const at::Tensor counts = at::bincount(at::cat(timesteps), {}, 50);
  CHECK(counts.size(0) == 50);
  CHECK(counts.min().item<int64_t>() > 10);  // 32 expected in each
  CHECK(counts.max().item<int64_t>() < 60);
  CHECK(at::bincount((at::cat(shifts) + 2).flatten(), {}, 5).min().item<int64_t>() > 500);  // 640 expected
  CHECK(at::cat(shifts).abs().max().item<int64_t>() == 2);
}

TEST_CASE("flips: half of all, by seed and step, and nothing else changes with them", "[unit]") {
  BatchPlanConfig config{7, 100, 8, 50, 2};
  BatchPlan plain(config, at::kCPU);
  config.horizontal_flips = true;
  BatchPlan plan(config, at::kCPU), jumping(config, at::kCPU);
  std::vector<at::Tensor> flips;
  for (int64_t step = 1; step <= 200; ++step) flips.push_back(plan.at(step).flips);
  CHECK(at::equal(jumping.at(150).flips, flips[149]));
  CHECK_FALSE(at::equal(at::cat(flips).slice(0, 0, 64), at::cat(flips).slice(0, 64, 128)));
  CHECK(std::abs(at::cat(flips).to(at::kFloat).mean().item<double>() - 0.5) < 0.05);  // 1600 draws: 4 deviations
  CHECK_FALSE(plain.at(3).flips.defined());
  CHECK(at::equal(plain.at(3).examples, plan.at(3).examples));
  CHECK(at::equal(plain.at(3).shifts, plan.at(3).shifts));
}

TEST_CASE("captions are left out at their rate, by seed and step", "[unit]") {
  BatchPlanConfig config{7, 100, 8, 50, 2};
  BatchPlan plain(config, at::kCPU);
  config.caption_dropout = 0.1;
  BatchPlan plan(config, at::kCPU), jumping(config, at::kCPU);
  std::vector<at::Tensor> drops;
  for (int64_t step = 1; step <= 1000; ++step) drops.push_back(plan.at(step).drops);
  CHECK(at::equal(jumping.at(150).drops, drops[149]));
  CHECK(std::abs(at::cat(drops).to(at::kFloat).mean().item<double>() - 0.1) < 0.015);  // 8000 draws: 4 deviations
  CHECK_FALSE(plain.at(3).drops.defined());
  CHECK(at::equal(plain.at(3).examples, plan.at(3).examples));
}

TEST_CASE("shifted images: background moves in", "[unit]") {
  at::Tensor images = at::full({2, 1, 5, 5}, -1.0f);
  images[0][0][2][2] = 1;
  images[1][0][0][4] = 1;
  const at::Tensor moved = shift_images(images, at::tensor({1, -2, -1, 1}, at::kLong).view({2, 2}), 2);
  CHECK(moved.sizes() == images.sizes());
  CHECK(moved[0][0][3][0].item<float>() == 1);
  CHECK(moved[0].sum().item<float>() == -23);
  CHECK(moved[1].eq(-1).all().item<bool>());  // it moved out
  CHECK(at::equal(shift_images(images, at::zeros({2, 2}, at::kLong), 3), images));
}

TEST_CASE("a loss that is not finite stops the run and names its step", "[unit]") {
  LossLog log(4, at::kCPU);
  log.add(at::scalar_tensor(1.5f), at::scalar_tensor(2.0f));
  log.add(at::scalar_tensor(2.5f), at::scalar_tensor(3.0f));
  log.require_finite(12, "");
  CHECK(mean(log.losses()) == 2);
  log.add(at::scalar_tensor(std::nanf("")), at::scalar_tensor(1.0f));
  const std::string message = test::message_of([&] { log.require_finite(13, "the last good state is runs/a/001/step_10"); });
  CHECK_THAT(message, ContainsSubstring("training diverged: at step 13 the loss is nan"));
  CHECK_THAT(message, ContainsSubstring("the last good state is runs/a/001/step_10; try a lower optimizer.learning_rate"));
  LossLog copy(4, at::kCPU);
  copy.restore({1, 2}, {3, 4});
  CHECK(copy.norms() == std::vector<double>{3, 4});
}
