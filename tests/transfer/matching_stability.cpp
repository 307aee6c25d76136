// Which matching objectives are stable: the linear picture, and small students that the losses themselves train.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <cmath>

#include "core/error.h"
#include "diffusion/flow_sampler.h"
#include "tests/support/support.h"
#include "transfer/linear_picture.h"
#include "transfer/matching_trial.h"

namespace linden {
namespace {

using Catch::Approx;
using Catch::Matchers::ContainsSubstring;

FlowSchedule schedule(int64_t steps, double shift = 5) {
  return FlowSampler(FlowEulerConfig{{.num_steps = steps, .shift = shift, .sigma_convention = "wan"}}).schedule();
}

AdmConfig adm(const std::string& normalisation, const std::string& time = "next") {
  AdmConfig config;
  config.normalisation = normalisation;
  config.time = time;
  return config;
}

// Everything here is too small to share among threads.
struct OneThread {
  OneThread() { at::set_num_threads(1); }
  ~OneThread() { at::set_num_threads(threads); }
  int threads = at::get_num_threads();
};

LinearGrowth growth_of(const MatchingConfig& matching, double width) {
  const OneThread one;
  return linear_growth(linear_picture(matching, schedule(25), {.width = width, .cells = 4}), 64);
}

TEST_CASE("linear picture: without coupling mse corrects each time by itself, adm each time by the next one's error", "[truth]") {
  const LinearPictureConfig narrow{.width = 0.01, .cells = 2};
  const auto entry = [](const at::Tensor& m, int64_t row, int64_t column) { return m[row][column].item<double>(); };
  const LinearPicture mse = linear_picture(MseMatchingConfig{}, schedule(4, 1), narrow);
  AdmConfig unclamped = adm("unit");
  unclamped.clamp_high = 1;
  unclamped.clamp_low = 1e-6;
  const LinearPicture next = linear_picture(unclamped, schedule(4, 1), narrow);
  for (int64_t k = 0; k < 8; k += 2)
    for (int64_t j = 0; j <= 8; ++j) {
      CHECK(entry(mse.matrix, k, j) == (j == k ? 1 : 0));
      CHECK(entry(next.matrix, k, j) == (j == k + 2 ? 1 : 0));
    }
  // exp(-S) of the shift S of five times, of which the last is never corrected, has (-1)^n/n! on its n-th diagonal.
  double squares = 0, factorial = 1;
  for (int n = 0; n <= 4; factorial *= ++n) squares += std::min(4, 5 - n) / (factorial * factorial);
  CHECK(linear_growth(next, 1).typical == Approx(std::sqrt(squares / 4)));
  CHECK(growth_of(MseMatchingConfig{}, 0.01).worst == Approx(1));
}

TEST_CASE("linear picture: the literal form grows without bound under a narrow kernel, and not under a wide one", "[truth]") {
  const LinearGrowth unit = growth_of(adm("unit"), 0.5), raw = growth_of(adm("raw"), 0.5), normalised = growth_of(adm("dmd_norm"), 0.5);
  CHECK(unit.typical > 1e12);
  CHECK(raw.typical > 1e3);
  CHECK(normalised.typical > 1e3);
  CHECK(normalised.typical < raw.typical);
  // It is a transient of a matrix that is far from normal: no eigenvalue says so.
  CHECK(std::abs(unit.slowest_rate) < 0.1);
  CHECK(growth_of(adm("unit"), 1).typical > 50);
  CHECK(growth_of(adm("unit"), 2).worst < 1.01);
}

TEST_CASE("linear picture: objectives with gradient where they compare never grow", "[truth]") {
  for (const double width : {0.25, 0.5, 1.0, 4.0}) {
    CHECK(growth_of(MseMatchingConfig{}, width).worst < 1.001);
    for (const char* time : {"next", "within_step"}) {
      OnPolicyMatchingConfig on_policy;
      on_policy.time = time;
      const LinearGrowth growth = growth_of(on_policy, width);
      CHECK(growth.worst < 1.001);
      CHECK(growth.final_typical < 0.4);
    }
  }
}

TEST_CASE("linear picture: what each remedy of the literal form is worth", "[truth]") {
  AdmConfig last = adm("unit"), both = adm("unit"), anchor = adm("unit");
  last.match_last_step = true;
  both.both_ends = true;
  anchor.anchor = 1;
  CHECK(growth_of(last, 0.5).typical > 1e12);  // no cure by itself
  const LinearGrowth within = growth_of(adm("unit", "within_step"), 0.5);
  CHECK(within.typical > 5);  // far less, not none
  CHECK(within.typical < 100);
  CHECK(growth_of(both, 0.5).typical < 1.001);
  CHECK(growth_of(anchor, 0.5).typical == Approx(growth_of(both, 0.5).typical));  // the same up to a factor of two in rate
  CHECK_THAT(test::message_of([] { growth_of(DmdMatchingConfig{}, 1); }), ContainsSubstring("dmd compares a critic"));
}

MatchingTrial train(const MatchingConfig& matching, const MatchingTrialConfig& config) {
  const OneThread one;
  return run_matching_trial(matching, config);
}

MatchingTrialConfig trial(double time_width) {
  MatchingTrialConfig config;
  config.time_width = time_width;
  config.learning_rate = 3e-3;
  config.steps = 150;
  config.log_every = 150;
  return config;
}

TEST_CASE("trained students: literal adm runs away where the kernel is narrow, on-policy matching falls everywhere", "[truth]") {
  CHECK(train(adm("unit"), trial(0.5)).growth() > 20);
  CHECK(train(adm("unit"), trial(4)).growth() < 0.1);
  for (const double width : {0.5, 4.0}) {
    CHECK(train(MseMatchingConfig{}, trial(width)).growth() < 0.1);
    const MatchingTrial on_policy = train(OnPolicyMatchingConfig{}, trial(width));
    CHECK(on_policy.growth() < 0.2);
    CHECK(on_policy.own_error.back() < 0.2 * on_policy.own_error.front());
    CHECK(on_policy.end_distance.back() < on_policy.end_distance.front());
  }
}

TEST_CASE("trained students: the teacher is a fixed point of every objective", "[truth]") {
  MatchingTrialConfig at_teacher = trial(1);
  at_teacher.perturbation = 0;
  at_teacher.steps = at_teacher.log_every = 10;
  for (const MatchingConfig& config : {MatchingConfig(MseMatchingConfig{}), MatchingConfig(adm("raw")), MatchingConfig(adm("dmd_norm")),
                                       MatchingConfig(adm("unit", "lower_solver_time")), MatchingConfig(OnPolicyMatchingConfig{})}) {
    const MatchingTrial result = train(config, at_teacher);
    CHECK(result.step.back() == 10);
    CHECK(result.velocity_error.back() == 0);
    CHECK(result.end_distance.back() == 0);
  }
}

}  // namespace
}  // namespace linden
