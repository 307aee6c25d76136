// What can go wrong in a transfer, said while it runs: once a log row the loop hands over its numbers and gets back what
// there is to say. A warning is said when a condition begins, and again only if it had ended in between.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/config.h"
#include "transfer/gate_config.h"

namespace linden {

struct DetectorConfig {
  bool stop = true;              // divergence and variance stop the run; false: they only warn. NaN always stops
  int64_t patience = 3;          // log rows for which a condition must hold before the run is stopped
  double smoothing = 0.5;        // share of the old mean in the smoothed velocity error
  double divergence_factor = 5;  // smoothed velocity error against its best
  double error_floor = 0.02;     // a best below this counts as this: gates that leave r = 1 raise an error near 0
  double collapse_ratio = 0.5;   // standard deviation of the student's clips against the teacher's
  double explosion_ratio = 2;
  int64_t gate_window = 5;          // log rows over which the speed of r is taken
  double gate_grace = 0.3;          // share of the way to the commit before gates are extrapolated
  double undecided_distance = 0.1;  // mean distance of r to {0, 1}
  double undecided_share = 0.15;    // last share of the way to the commit in which gates should be decided
};
void visit_fields(FieldVisitor& v, DetectorConfig& c);

// What a log row says of the run.
struct Observation {
  int64_t step = 0;
  double loss = 0, velocity_error = 0, gradient_norm = 0;  // means since the last row
  // Standard deviations of the clips that were drawn at this step, if any were.
  std::optional<double> student_deviation, teacher_deviation;
  std::vector<double> r;           // of the layers that may become linear; empty without gates
  int64_t steps_until_commit = 0;  // 0: committed, or a fixed selection
};

enum class Level { kWarning, kStop };
const char* level_name(Level level);  // "warning", "stop"

struct Finding {
  Level level = Level::kWarning;
  std::string detector;  // nonfinite, divergence, variance, reach, undecided
  std::string text;
};

// Between two rows, for a checkpoint: a resumed run says what the uninterrupted one would have said.
struct DetectorState {
  int64_t last_finite_step = -1;
  int64_t rows = 0;  // with a velocity error, since the start or the commit
  double smoothed_error = 0, best_error = 0;
  int64_t best_step = 0;
  int64_t divergence_since = -1, divergence_rows = 0;  // -1: not now
  int64_t variance_since = -1, variance_rows = 0;
  int64_t reach_since = -1, reach_rows = 0;
  bool bound_said = false, undecided_said = false, committed = false;
  std::vector<int64_t> gate_steps;   // the last rows with gates
  std::vector<double> gate_history;  // [rows, layers]
};
void visit_fields(FieldVisitor& v, DetectorState& s);

// The most that r moves in a step: Adam moves a number by about its learning rate; the rectified sigmoid has a slope of
// at most 0.3.
double largest_gate_step(const GateConfig& gates);

class Detectors {
 public:
  Detectors(const DetectorConfig& config, const GateConfig& gates);
  // Rows in rising order of steps.
  std::vector<Finding> observe(const Observation& row);
  const DetectorState& state() const { return state_; }
  void restore(DetectorState state) { state_ = std::move(state); }

 private:
  bool nonfinite(const Observation& row, std::vector<Finding>& out);
  void divergence(const Observation& row, std::vector<Finding>& out);
  void variance(const Observation& row, std::vector<Finding>& out);
  void remember_gates(const Observation& row);
  void bound(const Observation& row, std::vector<Finding>& out);
  void reach(const Observation& row, std::vector<Finding>& out);
  void undecided(const Observation& row, std::vector<Finding>& out);
  // A condition that warns at its first row and stops at row `patience`.
  void escalate(bool holds, int64_t step, int64_t& since, int64_t& rows, const Finding& finding, std::vector<Finding>& out) const;

  DetectorConfig config_;
  int64_t num_linear_;
  double gate_step_;
  DetectorState state_;
};

}  // namespace linden
