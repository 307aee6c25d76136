#include "transfer/matching_config.h"

#include "core/error.h"

namespace linden {
namespace {

void visit_clamp(FieldVisitor& v, double& low, double& high) {
  visit(v, Field("clamp_low", "smallest t; at 0 there is no score").above(0).at_most(1), low);
  visit(v, Field("clamp_high", "largest t").above(0).at_most(1), high);
}

void visit_time(FieldVisitor& v, MatchingTimeConfig& c) {
  visit(
      v,
      Field(
          "time",
          "t below the state's own solver time t'. next: the next solver time; within_step: uniform between the two; lower_solver_time: one of all later ones")
          .one_of({"next", "within_step", "lower_solver_time"}),
      c.time);
  visit(v, Field("substeps", "of next and within_step: t within this fraction of the solver step").at_least(1), c.substeps);
  visit_clamp(v, c.clamp_low, c.clamp_high);
}

void require_clamp(double low, double high, const std::string& prefix) {
  if (low >= high)
    throw ConfigError(fmt::format("{}.clamp_low is {}, but {}.clamp_high is {}: wanted a smaller one (0.02 and 0.98 are usual)", prefix, low, prefix, high));
}

void require_time(const MatchingTimeConfig& c, const std::string& prefix) {
  require_clamp(c.clamp_low, c.clamp_high, prefix);
  if (c.time == "lower_solver_time" && c.substeps != 1)
    throw ConfigError(
        fmt::format("{}.substeps is {}, but {}.time is lower_solver_time, which takes no part of a step; set substeps to 1 or time to next or within_step",
                    prefix, c.substeps, prefix));
}

void require(const MseMatchingConfig&, const std::string&) {}
void require(const OnPolicyMatchingConfig& c, const std::string& prefix) { require_time(c, prefix); }
void require(const DmdMatchingConfig& c, const std::string& prefix) { require_clamp(c.clamp_low, c.clamp_high, prefix); }
void require(const AdmConfig& c, const std::string& prefix) {
  require_time(c, prefix);
  if (c.reading == "renoise" && (c.match_last_step || c.both_ends))
    throw ConfigError(fmt::format("{}.{} is true, but {}.reading is renoise, whose point does not lie on a step from (x_t', t'); set reading to solver_step",
                                  prefix, c.match_last_step ? "match_last_step" : "both_ends", prefix));
  if (c.normalisation == "dmd_norm" && c.match_last_step)
    throw ConfigError(fmt::format(
        "{}.match_last_step is true, but {}.normalisation is dmd_norm: at the state itself its divisor is t' |u - u^|, and the gradient would not shrink near "
        "the teacher; set normalisation to raw or unit",
        prefix, prefix));
}

MatchingCalls calls(const MseMatchingConfig& c) { return {.student_with_gradient = 1, .teacher = c.target == "teacher"}; }
MatchingCalls calls(const OnPolicyMatchingConfig&) { return {.student_with_gradient = 1, .student = 1, .teacher = 1}; }
MatchingCalls calls(const DmdMatchingConfig&) { return {.student_with_gradient = 1, .score = 1, .teacher = 1, .needs_noise = true, .needs_critic = true}; }
MatchingCalls calls(const AdmConfig& c) {
  return {.student_with_gradient = 1,
          .student = c.score == "self",
          .score = c.score != "self",
          .teacher = 1 + (c.anchor > 0 || c.both_ends),
          .needs_noise = c.reading == "renoise",
          .needs_critic = c.score == "extra"};
}

}  // namespace

void visit_fields(FieldVisitor& v, MseMatchingConfig& c) {
  visit(
      v,
      Field("target", "teacher: asked at the stored state; stored: the velocity stored beside it, guided as the trajectory was").one_of({"teacher", "stored"}),
      c.target);
}

void visit_fields(FieldVisitor& v, AdmConfig& c) {
  visit_time(v, c);
  visit(v,
        Field("reading", "solver_step: the student's velocity takes one Euler step from t' to t; renoise: it jumps to x_0 and new noise is added")
            .one_of({"solver_step", "renoise"}),
        c.reading);
  visit(v,
        Field("normalisation", "raw: weights as published; dmd_norm: divided by the sample's mean |x_0 of the student - x_0 of the teacher|; unit: weight 1")
            .one_of({"raw", "dmd_norm", "unit"}),
        c.normalisation);
  visit(v,
        Field("score", "whose velocity stands for the student's score: its own, that of its average, or that of an extra network trained on its samples")
            .one_of({"self", "ema", "extra"}),
        c.score);
  visit(v, Field("anchor", "weight of a velocity match at the stored state, added").at_least(0), c.anchor);
  visit(v, Field("both_ends", "the error is the mean of those at the stored state and at the student's next point"), c.both_ends);
  visit(v, Field("match_last_step", "a state of the last solver step is matched where it is"), c.match_last_step);
}

void visit_fields(FieldVisitor& v, OnPolicyMatchingConfig& c) {
  visit_time(v, c);
  visit(v, Field("weight", "unit, or kl: |t - t'| (1 - t)/t, the raw weight of adm").one_of({"unit", "kl"}), c.weight);
  visit(v, Field("match_first_step", "a state of the first solver time is matched where it is"), c.match_first_step);
}

void visit_fields(FieldVisitor& v, DmdMatchingConfig& c) {
  visit(v, Field("shift", "t is a uniform number shifted as a flow schedule is: above 1 it is noisier").above(0), c.shift);
  visit_clamp(v, c.clamp_low, c.clamp_high);
}

void require_consistent(const MatchingConfig& config, const std::string& prefix) {
  std::visit([&](const auto& c) { require(c, prefix); }, config);
}

MatchingCalls matching_calls(const MatchingConfig& config) {
  return std::visit([](const auto& c) { return calls(c); }, config);
}

}  // namespace linden
