// The loss of flow matching: what the network is given, what it is compared with, and mixed precision.
#include <ATen/autocast_mode.h>
#include <ATen/ATen.h>
#include <torch/nn/module.h>

#include <catch2/catch_test_macros.hpp>

#include "core/random.h"
#include "diffusion/flow_path.h"
#include "ops/philox_normal.h"
#include "tests/support/support.h"
#include "train/objective.h"

using namespace linden;

namespace {

constexpr uint64_t kSeed = 5;

TrainingSet four_clips() {
  MovingDigitsData data;
  data.source = "shipped";
  data.frames = 3;
  data.num_examples = 4;
  return load_training_set(data, kSeed);
}

StepDraw a_draw() {
  StepDraw draw;
  draw.examples = at::tensor({2, 0, 3}, at::kLong);
  draw.timesteps = at::tensor({int64_t{0}, kFlowTimesteps / 2, kFlowTimesteps - 1}, at::kLong);
  draw.rows = at::arange(3);
  draw.steps = at::full({3}, 8, at::kLong);
  draw.drops = at::tensor({0, 1, 0}, at::kInt).to(at::kBool);
  return draw;
}

// While this object lives, products on the CPU run in bf16.
struct CpuBf16 {
  CpuBf16() {
    at::autocast::set_autocast_dtype(at::kCPU, at::kBFloat16);
    at::autocast::set_autocast_enabled(at::kCPU, true);
  }
  ~CpuBf16() {
    at::autocast::set_autocast_enabled(at::kCPU, false);
    at::autocast::clear_cache();
  }
};

}  // namespace

TEST_CASE("flow matching: the point on the path, its time, the captions that are left, and the target", "[unit]") {
  const TrainingSet set = four_clips();
  const StepDraw draw = a_draw();
  at::Tensor seen_x, seen_time, seen_captions;
  Trainee trainee;
  trainee.predict_velocity = [&](const at::Tensor& x, const at::Tensor& timesteps, const at::Tensor& captions) {
    seen_x = x, seen_time = timesteps, seen_captions = captions;
    return at::zeros_like(x);
  };
  FlowMatchingTask task;
  task.shift = 5;
  const auto objective = make_objective(task, trainee, set, kSeed);
  const double loss = objective->loss(draw).item<double>();
  const at::Tensor clean = set.batch(draw.examples), eps = philox_normal(kSeed, Purpose::kTrainingNoise, draw.rows, draw.steps, {1, 3, 32, 32});
  CHECK(std::abs(loss - (eps - clean).square().mean().item<double>()) < 1e-5);
  CHECK(std::abs(seen_time[1].item<double>() - 1000 * 2.5 / 3) < 1e-3);  // u = 1/2
  CHECK(seen_time[0].item<double>() < 1e-3);
  CHECK(seen_time[2].item<double>() > 999.9);
  CHECK(at::allclose(seen_x, flow_interpolate(clean, eps, seen_time / 1000), 1e-4, 1e-5));
  CHECK(seen_captions[1].eq(CaptionTable::kPadding).all().item<bool>());
  CHECK(at::equal(seen_captions[0], set.clips->captions[2]));
  CHECK(at::equal(seen_captions[2], set.clips->captions[3]));
}

TEST_CASE("flow matching in bf16 is the fp32 loss to rounding, with a gradient for every weight", "[unit]") {
  const TrainingSet set = four_clips();
  VideoDitModel model;
  model.layout.num_attention_heads = 1;
  model.layout.attention_head_dim = 32;
  model.layout.ffn_dim = 64;
  model.layout.num_layers = 2;
  model.layout.text_dim = 16;
  for (const char* residual : {"fp32", "model"}) {
    model.layout.residual_dtype = residual;
    const Trainee trainee = make_trainee(model, set.example_shape(), kSeed, true);
    const auto objective = make_objective(FlowMatchingTask{}, trainee, set, kSeed);
    const double exact = objective->loss(a_draw()).item<double>();
    at::Tensor loss;
    {
      const CpuBf16 bf16;
      loss = objective->loss(a_draw());
    }
    CHECK(loss.scalar_type() == at::kFloat);
    CHECK(std::abs(loss.item<double>() - exact) < 0.01 * exact);
    loss.backward();
    for (const auto& item : trainee.module->named_parameters()) {
      INFO(item.key());
      REQUIRE(item.value().grad().defined());
      CHECK(item.value().grad().isfinite().all().item<bool>());
      CHECK(item.value().grad().abs().max().item<double>() > 0);
    }
  }
}
