// DDIM and DDPM steps against diffusers' schedulers, and the chain's own invariances.
#include "diffusion/sampler.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cmath>

#include "diffusion/executor.h"
#include "io/safetensors.h"
#include "tests/support/support.h"

using namespace linden;

namespace {

// "Predicts" a stored noise, so that a step depends on the sampler alone.
class StoredNoise final : public NoisePredictor {
 public:
  explicit StoredNoise(at::Tensor eps) : eps_(std::move(eps)) {}
  at::Tensor predict_noise(const at::Tensor&, const at::Tensor&) override { return eps_; }
  std::vector<int64_t> shape() const override { return eps_.sizes().slice(1).vec(); }
  at::Device device() const override { return at::kCPU; }

 private:
  at::Tensor eps_;
};

// Settings of one golden case, as the reference's config spells them.
struct GoldenCase {
  int64_t steps = 0;
  double eta = 1;
  NoiseScheduleConfig schedule;
  bool clip_sample = true, set_alpha_to_one = true;
  int64_t steps_offset = 0;
  std::string spacing = "leading", variance = "fixed_small";
  double clip_range = 1;
  std::vector<int64_t> positions;
};
void visit_fields(FieldVisitor& v, GoldenCase& c) {
  visit(v, Field("steps", ""), c.steps);
  visit(v, Field("eta", ""), c.eta);
  visit(v, Field("num_train_timesteps", ""), c.schedule.num_train_steps);
  visit(v, Field("beta_start", ""), c.schedule.beta_start);
  visit(v, Field("beta_end", ""), c.schedule.beta_end);
  visit(v, Field("beta_schedule", ""), c.schedule.beta_schedule);
  visit(v, Field("clip_sample", ""), c.clip_sample);
  visit(v, Field("set_alpha_to_one", ""), c.set_alpha_to_one);
  visit(v, Field("steps_offset", ""), c.steps_offset);
  visit(v, Field("timestep_spacing", ""), c.spacing);
  visit(v, Field("variance_type", ""), c.variance);
  visit(v, Field("clip_sample_range", ""), c.clip_range);
  visit(v, Field("positions", ""), c.positions);
}

double relative_error(const at::Tensor& got, const at::Tensor& wanted) { return ((got - wanted).norm() / wanted.norm()).item<double>(); }

SamplerConfig sampler_of(const GoldenCase& c, bool ddim) {
  if (ddim) return DdimConfig{c.steps, c.eta, c.clip_sample, c.clip_range, c.set_alpha_to_one, c.spacing, c.steps_offset};
  return DdpmConfig{c.steps, c.variance, c.clip_sample, c.clip_range, c.spacing, c.steps_offset};
}

void check_golden(const std::string& file, bool ddim) {
  const SafetensorsFile golden(file);
  int cases = 0;
  for (const auto& [name, text] : golden.metadata()) {
    if (!golden.contains(name + "/timesteps")) continue;
    GoldenCase settings;
    from_json(text, name, settings, /*allow_unknown=*/true);
    const SamplerConfig config = sampler_of(settings, ddim);
    const NoiseSchedule schedule(settings.schedule);
    const StepTable table = make_step_table(config, schedule);
    const at::Tensor timesteps = golden.tensor(name + "/timesteps");
    INFO(name);
    for (int64_t i = 0; i < settings.steps; ++i) REQUIRE(table.timestep[settings.steps - i] == timesteps[i].item<int64_t>());
    for (int64_t k : settings.positions) {
      const auto at = [&](const char* what) { return golden.tensor(name + "/" + std::to_string(k) + "/" + what); };
      const auto denoiser = make_denoiser(std::make_shared<StoredNoise>(at("eps")), schedule, config);
      const at::Tensor x = at("x"), levels = at::full({x.size(0)}, settings.steps - k, at::kLong);
      const Transition step = denoiser->step(x, levels, at("noise"), /*details=*/true);
      INFO("position " << k);
      CHECK(relative_error(step.next, at("prev_sample")) <= 2e-6);
      CHECK(relative_error(step.predicted_clean, at("pred_original_sample")) <= 2e-6);
      const at::NoGradGuard no_grad;  // the one-pass CPU form
      CHECK(relative_error(denoiser->step(x, levels, at("noise"), /*details=*/false).next, step.next) <= 1e-6);
      ++cases;
    }
  }
  CHECK(cases >= 20);
}

// A linear "network": eps = 0.1 x, timesteps ignored.
class LinearNoise final : public NoisePredictor {
 public:
  at::Tensor predict_noise(const at::Tensor& x, const at::Tensor&) override { return 0.1 * x; }
  std::vector<int64_t> shape() const override { return {1, 4, 4}; }
  at::Device device() const override { return at::kCPU; }
};

}  // namespace

TEST_CASE("DDIM steps equal the reference's", "[golden]") { check_golden("tests/golden/diffusion/ddim_steps.safetensors", true); }
TEST_CASE("DDPM steps equal the reference's", "[golden]") { check_golden("tests/golden/diffusion/ddpm_steps.safetensors", false); }

TEST_CASE("DDIM with eta 1 and no clipping is DDPM on the sub-grid", "[truth]") {
  const NoiseSchedule schedule({});
  const StepTable ddim = make_step_table(DdimConfig{50, 1.0, false, 1.0, true, "leading", 0}, schedule);
  const StepTable ddpm = make_step_table(DdpmConfig{50, "fixed_small", false, 1.0, "leading", 0}, schedule);
  for (int64_t l = 1; l <= 50; ++l) {  // mean as a x + b eps
    CHECK(ddim.c[l] * ddim.a[l] == Catch::Approx(ddpm.c[l] * ddpm.a[l] + ddpm.e[l]).epsilon(1e-4));
    if (l > 1) CHECK(ddim.sigma[l] == Catch::Approx(ddpm.sigma[l]).epsilon(1e-4));
  }
}

TEST_CASE("the mean and deviation of a step are those of its draws", "[truth]") {
  const auto denoiser = make_denoiser(std::make_shared<LinearNoise>(), NoiseSchedule({}), DdimConfig{});
  const at::Tensor x = at::randn({1, 1, 4, 4}).expand({20000, 1, 4, 4}), levels = at::full({20000}, 30, at::kLong);
  const Transition step = denoiser->step(x, levels, at::randn({20000, 1, 4, 4}), true);
  CHECK((step.next.mean(0) - step.mean[0]).abs().max().item<double>() < 5 * step.deviation[0].item<double>() / std::sqrt(20000.0));
  CHECK(step.next.std(0).mean().item<double>() == Catch::Approx(step.deviation[0].item<double>()).epsilon(0.01));
}

TEST_CASE("a trajectory does not depend on its batch, and two runs are bit-equal", "[unit]") {
  const auto denoiser = make_denoiser(std::make_shared<LinearNoise>(), NoiseSchedule({}), DdimConfig{});
  const auto run = [&](std::vector<int64_t> indices) { return sample_chain(*make_executor(denoiser, 5, {}), indices); };
  const at::Tensor together = run({3, 8, 1});
  CHECK(at::equal(together, run({3, 8, 1})));
  CHECK((together[1] - run({8})[0]).abs().max().item<double>() <= 1e-4);
}

TEST_CASE("executor counts rows times steps", "[unit]") {
  const auto executor = make_executor(make_denoiser(std::make_shared<LinearNoise>(), NoiseSchedule({}), DdimConfig{}), 0, {});
  sample_chain(*executor, std::vector<int64_t>{1, 2, 3});
  CHECK(executor->count().nfe == 150);
  CHECK(executor->count().network_calls == 150);
  CHECK(executor->count().batches == 50);
}

TEST_CASE("steps that do not fit the schedule are refused", "[unit]") {
  const NoiseSchedule schedule({100, "linear", 1e-3, 0.07});
  CHECK_THAT(test::message_of([&] { make_step_table(DdimConfig{101}, schedule); }),
             Catch::Matchers::ContainsSubstring("num_steps is 101, but the schedule has 100 training steps (allowed 1..100)"));
  DdimConfig offset{100};
  offset.steps_offset = 1;
  CHECK_THAT(test::message_of([&] { make_step_table(offset, schedule); }), Catch::Matchers::ContainsSubstring("past the schedule's last one, 99"));
}

TEST_CASE("graph buckets hold the batch and grow slowly", "[unit]") {
  for (int64_t rows = 1; rows <= 400; ++rows) {
    const int64_t bucket = graph_bucket(rows);
    CHECK(bucket >= rows);
    CHECK((bucket < 2 * rows || rows == 1));
    CHECK(graph_bucket(bucket) == bucket);
  }
}
