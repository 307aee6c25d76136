// What the gates do in a run, on layers whose costs are known: linear layer l adds cost_l (1 - r_l)^2 to the matching loss, and each step's
// gradient is noisy. A model, not a run: the costs are rounded from the gate gradients of one run on the moving-digits teacher near r = 1/2
// (experiments/moving_digits/transfers/on_policy_l1e-4/layers.csv), quadratic cost and noise of its size are assumptions.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <catch2/catch_test_macros.hpp>
#include <vector>

#include "core/config.h"
#include "experiment/transfer_run.h"
#include "tests/transfer/tiny_teacher.h"
#include "transfer/gates.h"

namespace linden {
namespace {

constexpr int64_t kLayers = 12;
const std::vector<int64_t> kCheapest = {1, 2, 3, 4, 5, 11};
const std::vector<float> kCost = {1e-3f, 1e-5f, 0, 4e-4f, 1e-4f, 4e-4f, 8e-4f, 4.5e-4f, 7e-4f, 1e-3f, 5e-4f, 3e-4f};

struct Outcome {
  double distance = 0;            // mean distance of r to 0 or 1
  int64_t num_linear = 0;         // r <= 1/2
  std::vector<int64_t> smallest;  // six
};

Outcome dynamics(const GateConfig& gates, const AlphaScheduleConfig& alpha, int64_t steps, int64_t seed) {
  const at::NoGradGuard no_grad;
  VideoDit student = convert_attention(test::tiny_teacher(1, 1, kLayers, 32).transformer, HedgehogMapConfig{}, std::vector<bool>(kLayers, true));
  GateScores scores(gates, alpha, student);
  at::manual_seed(seed);
  const at::Tensor cost = at::tensor(kCost, at::kFloat);
  for (int64_t step = 1; step <= steps; ++step) {
    scores.begin_step(step, static_cast<double>(step) / static_cast<double>(steps));
    scores.gradient.copy_(-2 * cost * (1 - scores.r) + (cost + 1e-5) * (1.2 - scores.r) * at::randn({kLayers}));
    scores.apply();
  }
  return {at::minimum(scores.r, 1 - scores.r).mean().item<double>(), (scores.r <= 0.5).sum().item<int64_t>(), scores.smallest(6)};
}

TEST_CASE("gates: one lambda of 0.01 brings all scores to 1/2 together; the shipped weights and schedule choose the cheapest layers", "[truth]") {
  for (const int64_t seed : {0, 1}) {
    INFO(seed);
    const Outcome paper = dynamics({.num_linear = 6}, {}, 1000, seed);
    CHECK(paper.distance > 0.4);

    TransferRunConfig run;
    read_config({"configs/transfer/moving_digits.json", {}}, run);
    TransferConfig& config = run.transfer;
    const Outcome shipped = dynamics(config.gates, config.alpha, 1250, seed);
    CHECK(shipped.distance < 0.03);
    CHECK(shipped.num_linear == 6);
    CHECK(shipped.smallest == kCheapest);

    // A constraint that is drowned by the matching loss leaves too few.
    config.gates.constraint_weight = 1e-5;
    CHECK(dynamics(config.gates, config.alpha, 1250, seed).num_linear < 6);
  }
}

}  // namespace
}  // namespace linden
