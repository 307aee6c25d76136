// The matching losses against closed forms: constant velocities, where every weight is seen by itself, and Gaussians, where the
// KL divergence is known.
#include <ATen/ATen.h>

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "core/error.h"
#include "tests/support/support.h"
#include "transfer/matching.h"

namespace linden {
namespace {

using Catch::Approx;
using Catch::Matchers::ContainsSubstring;

at::Tensor column(const at::Tensor& sigma) { return sigma.to(at::kDouble).unsqueeze(1); }

// The velocity of x_0 ~ N(mean, 1) under the flow, each element by itself.
VelocityAt gaussian_velocity(const at::Tensor& mean) {
  return [mean](const at::Tensor& x, const at::Tensor& sigma) {
    const at::Tensor t = column(sigma), v = (1 - t).square() + t.square();
    return (x - (mean + (1 - t) / v * (x - (1 - t) * mean))) / t;
  };
}

VelocityAt constant_velocity(const at::Tensor& value) {
  return [value](const at::Tensor& x, const at::Tensor&) { return value.expand_as(x); };
}

FlowTimes four_steps() { return {at::tensor({1.0f, 0.75f, 0.5f, 0.25f, 0.0f})}; }

// `rows` states at the solver time t' whose next is `next`.
MatchingDraw draw_at(double sigma, double next, int64_t rows, int64_t width = 3) {
  at::manual_seed(7);
  MatchingDraw draw;
  draw.x = at::randn({rows, width}, at::kDouble);
  draw.noise = at::randn({rows, width}, at::kDouble);
  draw.sigma = at::full({rows}, sigma, at::kDouble);
  draw.next_sigma = at::full({rows}, next, at::kDouble);
  draw.lower = at::rand({rows}, at::kDouble);
  return draw;
}

std::vector<MatchingConfig> objectives() {
  std::vector<MatchingConfig> all = {MseMatchingConfig{}};
  for (const char* reading : {"solver_step", "renoise"})
    for (const char* normalisation : {"raw", "dmd_norm", "unit"})
      for (const char* time : {"next", "within_step", "lower_solver_time"}) {
        AdmConfig adm;
        adm.reading = reading;
        adm.normalisation = normalisation;
        adm.time = time;
        all.push_back(adm);
      }
  AdmConfig anchored;
  anchored.anchor = 0.5;
  anchored.both_ends = anchored.match_last_step = true;
  all.push_back(anchored);
  for (const char* weight : {"unit", "kl"}) {
    OnPolicyMatchingConfig on_policy;
    on_policy.weight = weight;
    on_policy.match_first_step = true;
    all.push_back(on_policy);
  }
  all.push_back(DmdMatchingConfig{});
  return all;
}

TEST_CASE("matching: a student that is the teacher gets no gradient, under every objective", "[unit]") {
  const at::Tensor mean = at::scalar_tensor(0.7, at::kDouble).requires_grad_();
  const VelocityAt student = gaussian_velocity(mean), teacher = gaussian_velocity(mean.detach());
  const MatchingDraw draw = draw_at(0.5, 0.25, 16);
  for (const MatchingConfig& config : objectives()) {
    const MatchingParts parts = matching_loss(config, four_steps(), {student, teacher, teacher}, draw);
    parts.loss.backward();
    CHECK(parts.loss.item<double>() == 0);
    CHECK(mean.grad().item<double>() == 0);
    CHECK(parts.velocity_error.abs().max().item<double>() == 0);
    CHECK(at::equal(parts.student, teacher(draw.x, draw.sigma)));
    CHECK_FALSE(parts.student.requires_grad());
    mean.mutable_grad() = at::Tensor();
  }
}

// With constant velocities u and u^ = p, dL/dp = -w (u - p) / n summed over the elements.
double gradient_over_error(const MatchingConfig& config, const MatchingDraw& draw) {
  const at::Tensor p = at::scalar_tensor(0.3, at::kDouble).requires_grad_();
  const VelocityAt frozen = constant_velocity(p.detach());
  const MatchingParts parts = matching_loss(config, four_steps(), {constant_velocity(p), constant_velocity(at::scalar_tensor(1.3, at::kDouble)), frozen}, draw);
  parts.loss.backward();
  CHECK(parts.velocity_error[0].item<double>() == Approx(1 / (1.3 * 1.3)));
  return -p.grad().item<double>();  // the error is 1
}

TEST_CASE("adm: the weights of both readings, and towards the teacher", "[unit]") {
  const MatchingDraw draw = draw_at(0.75, 0.5, 8);
  AdmConfig adm;
  CHECK(gradient_over_error(adm, draw) == Approx(0.25 * 1.0));  // (t' - t) (1 - t)/t
  adm.substeps = 2;
  CHECK(gradient_over_error(adm, draw) == Approx(0.125 * 0.375 / 0.625));
  adm.substeps = 1;
  adm.reading = "renoise";
  CHECK(gradient_over_error(adm, draw) == Approx(0.5 * 0.75 * 1.0));  // (1 - t) t' (1 - t)/t
  adm.normalisation = "unit";
  CHECK(gradient_over_error(adm, draw) == Approx(1));
  adm.reading = "solver_step";
  CHECK(gradient_over_error(adm, draw) == Approx(1));
  adm.anchor = 0.5;
  CHECK(gradient_over_error(adm, draw) == Approx(1.5));
  adm.anchor = 0;
  adm.both_ends = true;
  CHECK(gradient_over_error(adm, draw) == Approx(1));
  // dmd_norm: x_0 of the student less that of the teacher is -t' p - (t - t') p + t u = t (u - p) here.
  adm = {};
  adm.normalisation = "dmd_norm";
  CHECK(gradient_over_error(adm, draw) == Approx(0.25 * 1.0 / 0.5));
  CHECK(gradient_over_error(MseMatchingConfig{}, draw) == Approx(1));
  OnPolicyMatchingConfig on_policy;
  CHECK(gradient_over_error(on_policy, draw) == Approx(1));
  on_policy.weight = "kl";
  CHECK(gradient_over_error(on_policy, draw) == Approx(0.25));
}

TEST_CASE("adm at the last solver step: the clamp, or a match where the state is", "[unit]") {
  const MatchingDraw draw = draw_at(0.25, 0, 8);
  AdmConfig adm;
  CHECK(gradient_over_error(adm, draw) == Approx(0.23 * 0.98 / 0.02));
  std::vector<double> asked;
  const auto teacher = [&](const at::Tensor& x, const at::Tensor& sigma) {
    asked.push_back(sigma[0].item<double>());
    return at::ones_like(x);
  };
  const auto student = [](const at::Tensor& x, const at::Tensor&) { return at::zeros_like(x).requires_grad_(); };
  CHECK(matching_loss(adm, four_steps(), {student, teacher, {}}, draw).sigma[0].item<double>() == Approx(0.02));
  adm.match_last_step = true;
  CHECK(matching_loss(adm, four_steps(), {student, teacher, {}}, draw).sigma[0].item<double>() == 0.25);
  CHECK(asked.size() == 2);
  CHECK(asked[0] == Approx(0.02));
  CHECK(asked[1] == 0.25);
  CHECK(gradient_over_error(adm, draw) == Approx(0.23 * 0.98 / 0.02));  // the weight stays
  adm.normalisation = "unit";
  CHECK(gradient_over_error(adm, draw) == Approx(1));
}

TEST_CASE("matching times lie where they are said to", "[unit]") {
  MatchingDraw draw = draw_at(0.75, 0.5, 4000);
  MatchingTimeConfig config;
  config.clamp_low = 0.01;
  CHECK(matching_time(config, four_steps(), draw).eq(0.5).all().item<bool>());
  config.time = "within_step";
  at::Tensor t = matching_time(config, four_steps(), draw);
  CHECK(t.min().item<double>() == Approx(0.5).margin(1e-3));
  CHECK(t.max().item<double>() == Approx(0.75).margin(1e-3));
  CHECK(t.mean().item<double>() == Approx(0.625).margin(0.01));
  config.substeps = 5;
  t = matching_time(config, four_steps(), draw);
  CHECK(t.min().item<double>() == Approx(0.7).margin(1e-3));
  config = {.time = "lower_solver_time", .clamp_low = 0.01};
  t = matching_time(config, four_steps(), draw);
  for (const double level : {0.5, 0.25, 0.01})  // a third each; 0 becomes clamp_low
    CHECK((t - level).abs().lt(1e-6).to(at::kDouble).mean().item<double>() == Approx(1 / 3.0).margin(0.03));
  draw.sigma.fill_(1);
  draw.next_sigma.fill_(0.995);
  CHECK(matching_time({}, four_steps(), draw).eq(0.98).all().item<bool>());
  draw.sigma.fill_(0.015);  // below clamp_low: never above t'
  draw.next_sigma.fill_(0);
  CHECK(matching_time({}, four_steps(), draw).eq(0.015).all().item<bool>());
}

TEST_CASE("velocity differences are score differences on Gaussians", "[truth]") {
  // s_t(x) = -(x - (1-t) a)/v; s - s^ = -(1-t)/t (u - u^).
  for (const double t : {0.1, 0.5, 0.9}) {
    const double v = (1 - t) * (1 - t) + t * t, a = 0.4, b = -0.9;
    const at::Tensor x = at::randn({9, 2}, at::kDouble), sigma = at::full({9}, t, at::kDouble);
    const at::Tensor u = gaussian_velocity(at::scalar_tensor(a, at::kDouble))(x, sigma),
                     student = gaussian_velocity(at::scalar_tensor(b, at::kDouble))(x, sigma);
    CHECK(at::allclose(u, -(x + t * (-(x - (1 - t) * a) / v)) / (1 - t)));
    CHECK(at::allclose(-(1 - t) / t * (u - student), at::full_like(x, (1 - t) * (a - b) / v)));
  }
}

TEST_CASE("adm, raw: the gradient of KL(q_t || p_t) between Gaussians, both readings", "[truth]") {
  // From t' = 1 a single evaluation carries the whole of d x^_t / d b = 1 - t.
  const double a = 0.4, b0 = -0.9, h = 1e-4;
  for (const double t : {0.1, 0.5, 0.9})
    for (const char* reading : {"solver_step", "renoise"}) {
      const at::Tensor b = at::scalar_tensor(b0, at::kDouble).requires_grad_();
      AdmConfig adm;
      adm.reading = reading;
      matching_loss(adm, four_steps(), {gaussian_velocity(b), gaussian_velocity(at::scalar_tensor(a, at::kDouble)), {}}, draw_at(1, t, 5)).loss.backward();
      const double v = (1 - t) * (1 - t) + t * t;
      const auto kl = [&](double mean) { return (1 - t) * (1 - t) * (a - mean) * (a - mean) / (2 * v); };
      CHECK(b.grad().item<double>() == Approx((kl(b0 + h) - kl(b0 - h)) / (2 * h)).epsilon(1e-6));
      CHECK(b.grad().item<double>() == Approx((1 - t) * (1 - t) * (b0 - a) / v).epsilon(1e-9));
    }
}

TEST_CASE("adm, unit: the gradient of velocity matching as t goes to t'", "[truth]") {
  const MatchingDraw draw = draw_at(0.5, 0.25, 32);
  const auto gradient = [&](const MatchingConfig& config) {
    const at::Tensor b = at::scalar_tensor(-0.9, at::kDouble).requires_grad_();
    matching_loss(config, four_steps(), {gaussian_velocity(b), gaussian_velocity(at::scalar_tensor(0.4, at::kDouble)), {}}, draw).loss.backward();
    return b.grad().item<double>();
  };
  AdmConfig adm;
  adm.normalisation = "unit";
  const double wanted = gradient(MseMatchingConfig{});
  double last = 1;
  for (const int64_t substeps : {1, 100, 10000}) {
    adm.substeps = substeps;
    const double error = std::abs(gradient(adm) / wanted - 1);
    CHECK(error < (substeps == 1 ? 1 : 0.02 * last));
    last = error;
  }
}

TEST_CASE("every objective but dmd leads a student of one number to the teacher, from either side", "[truth]") {
  const double a = 0.4;
  for (const MatchingConfig& config : objectives()) {
    if (std::holds_alternative<DmdMatchingConfig>(config)) continue;
    for (const double distance : {-3.0, -0.5, -0.01, 0.01, 0.5, 3.0})
      for (const double sigma : {1.0, 0.5, 0.25}) {
        const at::Tensor b = at::scalar_tensor(a + distance, at::kDouble).requires_grad_();
        matching_loss(config, four_steps(), {gaussian_velocity(b), gaussian_velocity(at::scalar_tensor(a, at::kDouble)), {}}, draw_at(sigma, sigma - 0.25, 8))
            .loss.backward();
        CHECK(b.grad().item<double>() * distance > 0);
      }
  }
}

TEST_CASE("on-policy matching compares at the student's own next point", "[unit]") {
  std::vector<at::Tensor> points;
  const auto teacher = [&](const at::Tensor& x, const at::Tensor&) {
    points.push_back(x);
    return at::ones_like(x);
  };
  const at::Tensor p = at::scalar_tensor(0.3, at::kDouble).requires_grad_();
  MatchingDraw draw = draw_at(1, 0.75, 4);
  OnPolicyMatchingConfig config;
  matching_loss(config, four_steps(), {constant_velocity(p), teacher, {}}, draw);
  CHECK(at::allclose(points.back(), draw.x - 0.25 * 0.3));
  config.match_first_step = true;
  CHECK(matching_loss(config, four_steps(), {constant_velocity(p), teacher, {}}, draw).sigma[0].item<double>() == 1);
  CHECK(at::allclose(points.back(), draw.x));
  draw.sigma.fill_(0.75);
  draw.next_sigma.fill_(0.5);
  CHECK(matching_loss(config, four_steps(), {constant_velocity(p), teacher, {}}, draw).sigma[0].item<double>() == 0.5);
}

TEST_CASE("dmd: the generator moves to the teacher, the critic's loss is least at the student's own velocity", "[truth]") {
  // A generator with x^_0 = x_1 + b, so that q = N(b, 1): u^(x_1, 1) = -b.
  const double a = 0.4, b0 = -0.9;
  const at::Tensor b = at::scalar_tensor(b0, at::kDouble).requires_grad_();
  const VelocityAt generator = constant_velocity(-b), teacher = gaussian_velocity(at::scalar_tensor(a, at::kDouble));
  const MatchingDraw draw = draw_at(1, 0.75, 20000, 2);
  const DmdMatchingConfig config{.clamp_low = 0.5, .clamp_high = 0.5 + 1e-9};
  const auto critic = [](double c) { return gaussian_velocity(at::scalar_tensor(c, at::kDouble)); };
  matching_loss(config, four_steps(), {generator, teacher, critic(b0)}, draw).loss.backward();
  // x_0 of critic less teacher is t^2/v (b - a) everywhere; each sample divides by its own mean |x^_0 - x_0 of the teacher|.
  const at::Tensor clean = draw.x + b0, point = 0.5 * clean + 0.5 * draw.noise;
  const at::Tensor divisor = (clean - (point - 0.5 * teacher(point, at::full({20000}, 0.5, at::kDouble)))).abs().mean(1);
  CHECK(b.grad().item<double>() == Approx((0.25 / 0.5 * (b0 - a) / divisor).mean().item<double>()).epsilon(1e-6));

  const auto loss_of = [&](double c) { return critic_loss(DmdMatchingConfig{.shift = 3}, {generator, teacher, critic(c)}, draw).item<double>(); };
  const double at_student = loss_of(b0);
  for (const double c : {b0 - 0.4, b0 - 0.15, b0 + 0.15, b0 + 0.4, a}) CHECK(loss_of(c) > at_student);
  const double curvature = (loss_of(b0 + 0.1) + loss_of(b0 - 0.1) - 2 * at_student) / 0.01, slope = (loss_of(b0 + 0.1) - loss_of(b0 - 0.1)) / 0.2;
  CHECK(std::abs(slope / curvature) < 0.05);  // where its minimum lies, off by sampling noise alone
  const at::Tensor c = at::scalar_tensor(b0, at::kDouble).requires_grad_();
  b.mutable_grad() = at::Tensor();
  critic_loss(config, {generator, teacher, gaussian_velocity(c)}, draw).backward();
  CHECK_FALSE(b.grad().defined());
  CHECK(c.grad().defined());
}

TEST_CASE("what an objective costs", "[unit]") {
  CHECK(matching_calls(MseMatchingConfig{}).teacher == 1);
  CHECK(matching_calls(MseMatchingConfig{.target = "stored"}).teacher == 0);
  AdmConfig adm;
  CHECK(matching_calls(adm).student == 1);
  adm.anchor = 1;
  CHECK(matching_calls(adm).teacher == 2);
  adm.score = "extra";
  CHECK(matching_calls(adm).student == 0);
  CHECK(matching_calls(adm).score == 1);
  CHECK(matching_calls(adm).needs_critic);
  CHECK(matching_calls(DmdMatchingConfig{}).needs_noise);
  // And that is what is called.
  int64_t student_calls = 0, teacher_calls = 0, score_calls = 0;
  const auto counting = [](int64_t& count) { return [&count](const at::Tensor& x, const at::Tensor&) { return ++count, at::zeros_like(x); }; };
  for (MatchingConfig config : objectives()) {
    student_calls = teacher_calls = score_calls = 0;
    MatchingDraw draw = draw_at(0.5, 0.25, 2);
    matching_loss(config, four_steps(), {counting(student_calls), counting(teacher_calls), counting(score_calls)}, draw);
    const MatchingCalls calls = matching_calls(config);
    CHECK(student_calls == calls.student_with_gradient + calls.student);
    CHECK(teacher_calls == calls.teacher);
    CHECK(score_calls == calls.score);
  }
}

TEST_CASE("matching says what is wrong with a config, a network, a draw", "[unit]") {
  const auto message = [](const std::string& text) {
    return test::message_of([&] {
      AdmConfig config;
      from_json(text, "a.json", config);
      require_consistent(config, "matching");
    });
  };
  CHECK_THAT(message(R"({"reading": "solver"})"), ContainsSubstring("reading") && ContainsSubstring("solver_step"));
  CHECK_THAT(message(R"({"normalisaton": "raw"})"), ContainsSubstring("normalisation"));
  CHECK_THAT(message(R"({"clamp_low": 0.5, "clamp_high": 0.4})"), ContainsSubstring("matching.clamp_low is 0.5, but matching.clamp_high is 0.4"));
  CHECK_THAT(message(R"({"time": "lower_solver_time", "substeps": 2})"), ContainsSubstring("matching.substeps is 2"));
  CHECK_THAT(message(R"({"reading": "renoise", "both_ends": true})"), ContainsSubstring("matching.both_ends is true"));
  CHECK_THAT(message(R"({"reading": "renoise", "match_last_step": true})"), ContainsSubstring("matching.match_last_step is true"));

  CHECK_THAT(message(R"({"normalisation": "dmd_norm", "match_last_step": true})"),
             ContainsSubstring("matching.match_last_step is true") && ContainsSubstring("dmd_norm"));

  MatchingDraw draw = draw_at(0.5, 0.25, 2);
  const VelocityAt zero = constant_velocity(at::zeros({}, at::kDouble));
  AdmConfig ema;
  ema.score = "ema";
  CHECK_THAT(test::message_of([&] { matching_loss(ema, four_steps(), {zero, zero, {}}, draw); }), ContainsSubstring("needs the network \"score\""));
  CHECK_THAT(test::message_of([&] {
               matching_loss(MseMatchingConfig{.target = "stored"}, four_steps(), {zero, {}, {}}, draw);
             }),
             ContainsSubstring("draw.velocity is missing"));
  draw.next_sigma = at::Tensor();
  CHECK_THAT(test::message_of([&] { matching_loss(AdmConfig{}, four_steps(), {zero, zero, {}}, draw); }), ContainsSubstring("next_sigma has 0 values"));
}

}  // namespace
}  // namespace linden
