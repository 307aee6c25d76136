#include "transfer/detectors.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace linden {
namespace {

constexpr double kOneSpan = 0.1;  // of r over the layers, below which they move as one
constexpr double kHalf = 0.5;     // r up to it rounds to linear

int64_t count_below_half(const std::vector<double>& r) {
  return std::ranges::count_if(r, [](double value) { return value <= kHalf; });
}

std::string rows_text(int64_t rows) { return fmt::format("{} log row{}", rows, rows == 1 ? "" : "s"); }

}  // namespace

void visit_fields(FieldVisitor& v, DetectorConfig& c) {
  visit(v, Field("stop", "a run that diverges, or whose clips lose their variance, is stopped; false: only warnings. NaN always stops").changeable(), c.stop);
  visit(v, Field("patience", "log rows for which a condition must hold before the run is stopped").at_least(1).changeable(), c.patience);
  visit(v, Field("smoothing", "share of the old mean in the smoothed velocity error").between(0, 0.99), c.smoothing);
  visit(v, Field("divergence_factor", "smoothed velocity error against its best, from which on a run diverges").above(1).changeable(), c.divergence_factor);
  visit(v, Field("error_floor", "a best velocity error below this counts as this: leaving r = 1 raises an error near 0").above(0).changeable(), c.error_floor);
  visit(v, Field("collapse_ratio", "standard deviation of the student's clips against the teacher's, below which they collapse").between(0, 1).changeable(),
        c.collapse_ratio);
  visit(v, Field("explosion_ratio", "the same ratio, above which they explode").at_least(1).changeable(), c.explosion_ratio);
  visit(v, Field("gate_window", "log rows over which the speed of the scores r is taken").at_least(1), c.gate_window);
  visit(v, Field("gate_grace", "share of the way to the commit before the scores are extrapolated").between(0, 1).changeable(), c.gate_grace);
  visit(v, Field("undecided_distance", "mean distance of r to 0 or 1, whichever is nearer, above which gates are undecided").between(0, 0.5).changeable(),
        c.undecided_distance);
  visit(v, Field("undecided_share", "last share of the way to the commit in which gates should be decided").between(0, 1).changeable(), c.undecided_share);
}

void visit_fields(FieldVisitor& v, DetectorState& s) {
  visit(v, Field("last_finite_step", "newest row without NaN; -1: none"), s.last_finite_step);
  visit(v, Field("rows", "since the start or the commit"), s.rows);
  visit(v, Field("smoothed_error", "velocity error"), s.smoothed_error);
  visit(v, Field("best_error", "smallest smoothed velocity error"), s.best_error);
  visit(v, Field("best_step", "its step"), s.best_step);
  visit(v, Field("divergence_since", "step; -1: not now"), s.divergence_since);
  visit(v, Field("divergence_rows", "rows in a row"), s.divergence_rows);
  visit(v, Field("variance_since", "step; -1: not now"), s.variance_since);
  visit(v, Field("variance_rows", "rows in a row"), s.variance_rows);
  visit(v, Field("reach_since", "step; -1: not now"), s.reach_since);
  visit(v, Field("reach_rows", "rows in a row"), s.reach_rows);
  visit(v, Field("bound_said", "gates that no speed brings down in time"), s.bound_said);
  visit(v, Field("undecided_said", "gates undecided before the commit"), s.undecided_said);
  visit(v, Field("committed", "the selection is fixed"), s.committed);
  visit(v, Field("gate_steps", "steps of gate_history"), s.gate_steps);
  visit(v, Field("gate_history", "r of the last rows, layer by layer"), s.gate_history);
}

const char* level_name(Level level) { return level == Level::kStop ? "stop" : "warning"; }

double largest_gate_step(const GateConfig& gates) {
  constexpr double kSteepest = 1.2 / 4;  // of (zeta - gamma) sigmoid(v)
  return gates.learning_rate * (gates.parametrisation == "sigmoid" ? kSteepest : 1.0);
}

Detectors::Detectors(const DetectorConfig& config, const GateConfig& gates)
    : config_(config),
      num_linear_(gates.num_linear),
      gate_step_(largest_gate_step(gates)) {}

std::vector<Finding> Detectors::observe(const Observation& row) {
  std::vector<Finding> out;
  if (nonfinite(row, out)) return out;
  const bool gated = row.steps_until_commit > 0 && !row.r.empty();
  if (!gated && !state_.committed) {  // hard layers start from another error
    state_.committed = true;
    state_.rows = 0;
    state_.divergence_since = -1;
    state_.divergence_rows = 0;
    state_.gate_steps.clear();
    state_.gate_history.clear();
  }
  divergence(row, out);
  variance(row, out);
  if (!gated) return out;
  remember_gates(row);
  bound(row, out);
  reach(row, out);
  undecided(row, out);
  return out;
}

bool Detectors::nonfinite(const Observation& row, std::vector<Finding>& out) {
  std::vector<std::string> bad;
  const auto look = [&](const char* name, double value) {
    if (!std::isfinite(value)) bad.push_back(fmt::format("the {} is {}", name, value));
  };
  look("loss", row.loss);
  look("velocity error", row.velocity_error);
  look("gradient norm", row.gradient_norm);
  if (row.student_deviation) look("standard deviation of the student's clips", *row.student_deviation);
  for (size_t i = 0; i < row.r.size(); ++i)
    if (!std::isfinite(row.r[i])) look(fmt::format("score r of gate {}", i).c_str(), row.r[i]);
  if (bad.empty()) {
    state_.last_finite_step = row.step;
    return false;
  }
  const std::string since = state_.last_finite_step < 0 ? "no row before was finite" : fmt::format("the last finite row is step {}", state_.last_finite_step);
  out.push_back({Level::kStop, "nonfinite",
                 fmt::format("at step {} {}{}; {}. The weights are spoilt from there on: start another run with a lower "
                             "optimizer.learning_rate, a longer learning_rate.warmup_steps or a smaller gradient_clip",
                             row.step, bad[0], bad.size() > 1 ? fmt::format(" (and {} more of this row)", bad.size() - 1) : "", since)});
  return true;
}

void Detectors::escalate(bool holds, int64_t step, int64_t& since, int64_t& rows, const Finding& finding, std::vector<Finding>& out) const {
  if (!holds) {
    since = -1;
    rows = 0;
    return;
  }
  if (since < 0) since = step;
  ++rows;
  const bool stops = config_.stop && rows >= config_.patience;
  if (!stops && rows > 1) return;
  Finding said = finding;
  said.level = stops ? Level::kStop : Level::kWarning;
  if (stops) said.text += fmt::format(". Stopped after {} (detectors.patience); detectors.stop = false goes on", rows_text(rows));
  out.push_back(said);
}

void Detectors::divergence(const Observation& row, std::vector<Finding>& out) {
  DetectorState& s = state_;
  const double smoothed = s.rows == 0 ? row.velocity_error : config_.smoothing * s.smoothed_error + (1 - config_.smoothing) * row.velocity_error;
  if (s.rows == 0 || smoothed < s.best_error) {
    s.best_error = smoothed;
    s.best_step = row.step;
  }
  s.smoothed_error = smoothed;
  ++s.rows;
  const double best = std::max(s.best_error, config_.error_floor);
  const bool holds = smoothed > config_.divergence_factor * best;
  const int64_t since = s.divergence_since < 0 ? row.step : s.divergence_since;
  escalate(
      holds, row.step, s.divergence_since, s.divergence_rows,
      {Level::kWarning, "divergence",
       fmt::format("the transfer diverges: at step {} the smoothed velocity error is {:.4g}, its best was {:.4g} at step {} (judged as {:.4g}, allowed {:.4g} "
                   "times that); above since step {}; gradient norm {:.3g}. Lower optimizer.learning_rate, or take a loss that matches the student at its own "
                   "states or an added MSE term",
                   row.step, smoothed, s.best_error, s.best_step, best, config_.divergence_factor, since, row.gradient_norm)},
      out);
}

void Detectors::variance(const Observation& row, std::vector<Finding>& out) {
  if (!row.student_deviation || !row.teacher_deviation || *row.teacher_deviation <= 0) return;
  const double ratio = *row.student_deviation / *row.teacher_deviation;
  const bool collapse = ratio<config_.collapse_ratio, explosion = ratio> config_.explosion_ratio;
  const int64_t since = state_.variance_since < 0 ? row.step : state_.variance_since;
  escalate(
      collapse || explosion, row.step, state_.variance_since, state_.variance_rows,
      {Level::kWarning, "variance",
       fmt::format("the student's clips {}: at step {} their standard deviation is {:.3g}, the teacher's {:.3g}: a ratio of {:.3g} (allowed {:.3g} to {:.3g}); "
                   "since step {}. Look at the newest strip_*.png; lower optimizer.learning_rate, or add an MSE term to the loss",
                   collapse ? "lose their variance" : "explode", row.step, *row.student_deviation, *row.teacher_deviation, ratio, config_.collapse_ratio,
                   config_.explosion_ratio, since)},
      out);
}

void Detectors::remember_gates(const Observation& row) {
  DetectorState& s = state_;
  const size_t layers = row.r.size();
  check(s.gate_history.size() == s.gate_steps.size() * layers, "Detectors: {} gates at step {}, but {} numbers of {} earlier rows", layers, row.step,
        s.gate_history.size(), s.gate_steps.size());
  s.gate_steps.push_back(row.step);
  s.gate_history.insert(s.gate_history.end(), row.r.begin(), row.r.end());
  if (s.gate_steps.size() <= static_cast<size_t>(config_.gate_window) + 1) return;
  s.gate_steps.erase(s.gate_steps.begin());
  s.gate_history.erase(s.gate_history.begin(), s.gate_history.begin() + static_cast<std::ptrdiff_t>(layers));
}

// The num_linear smallest r have to pass 0.5, and a step moves each by gate_step at most.
void Detectors::bound(const Observation& row, std::vector<Finding>& out) {
  if (state_.bound_said || num_linear_ < 1 || num_linear_ > static_cast<int64_t>(row.r.size())) return;
  std::vector<double> sorted = row.r;
  std::ranges::sort(sorted);
  const double needed = sorted[static_cast<size_t>(num_linear_ - 1)] - kHalf, possible = gate_step_ * static_cast<double>(row.steps_until_commit);
  if (needed <= possible) return;
  state_.bound_said = true;
  out.push_back(
      {Level::kWarning, "reach",
       fmt::format(
           "the gates cannot reach {} linear layers before the commit: at step {} {} have r <= 0.5 and the {} smallest scores go up to {:.4g}, so one must "
           "still fall by {:.4g}; in the {} steps left r moves by at most {:.4g} ({:.3g} a step, from gates.learning_rate). Raise "
           "gates.learning_rate above {:.2g} times its value, or commit later (gates.commit_at)",
           num_linear_, row.step, count_below_half(row.r), num_linear_, needed + kHalf, needed, row.steps_until_commit, possible, gate_step_,
           needed / possible)});
}

void Detectors::reach(const Observation& row, std::vector<Finding>& out) {
  DetectorState& s = state_;
  const int64_t commit = row.step + row.steps_until_commit, span = row.step - s.gate_steps.front();
  if (state_.bound_said || span <= 0 || static_cast<double>(row.step) < config_.gate_grace * static_cast<double>(commit)) return;
  std::vector<double> expected;
  for (size_t i = 0; i < row.r.size(); ++i) {
    const double speed = (row.r[i] - s.gate_history[i]) / static_cast<double>(span);
    expected.push_back(std::clamp(row.r[i] + speed * static_cast<double>(row.steps_until_commit), 0.0, 1.0));
  }
  const int64_t now = count_below_half(row.r), then = count_below_half(expected);
  if (then >= num_linear_ || now >= num_linear_) {  // once the count is met the constraint holds it, whatever single scores do
    s.reach_since = -1;
    s.reach_rows = 0;
    return;
  }
  if (s.reach_since < 0) s.reach_since = row.step;
  if (++s.reach_rows != config_.patience) return;  // one slow row says little
  const double mean_r = [&] {
    double sum = 0;
    for (const double r : row.r) sum += r;
    return sum / static_cast<double>(row.r.size());
  }();
  out.push_back(
      {Level::kWarning, "reach",
       fmt::format(
           "the gates are too slow: at step {} {} layers have r <= 0.5 (mean r {:.3g}); at their speed of the last {} steps it will be {} of the wanted {} "
           "at the commit in {} steps; so since step {}. The commit would round the other {} at once: raise gates.constraint_weight "
           "or gates.learning_rate, or commit later (gates.commit_at)",
           row.step, now, mean_r, span, then, num_linear_, row.steps_until_commit, s.reach_since, num_linear_ - then)});
}

void Detectors::undecided(const Observation& row, std::vector<Finding>& out) {
  const double commit = static_cast<double>(row.step + row.steps_until_commit);
  if (state_.undecided_said || static_cast<double>(row.steps_until_commit) > config_.undecided_share * commit) return;
  double distance = 0;
  int64_t between = 0;
  for (const double r : row.r) {
    distance += std::min(r, 1 - r) / static_cast<double>(row.r.size());
    between += r > 0.1 && r < 0.9;
  }
  if (distance <= config_.undecided_distance) return;
  state_.undecided_said = true;
  const auto [lowest, highest] = std::ranges::minmax(row.r);
  const std::string advice = highest - lowest < kOneSpan ? fmt::format(
                                                               "All scores move as one (they span {:.2g}): the count's constraint drowns what the matching "
                                                               "loss says of each layer. Lower gates.constraint_weight",
                                                               highest - lowest)
                                                         : "Raise gates.regulariser_weight, let alpha.end be lower, or raise gates.learning_rate";
  out.push_back(
      {Level::kWarning, "undecided",
       fmt::format(
           "the gates are undecided: at step {}, {} steps before the commit, the mean distance of r to 0 or 1 is {:.3g} (allowed {:.3g}) and {} of {} layers "
           "lie between 0.1 and 0.9; the velocity error will jump when the commit rounds them. {}",
           row.step, row.steps_until_commit, distance, config_.undecided_distance, between, row.r.size(), advice)});
}

}  // namespace linden
