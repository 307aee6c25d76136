// A small student trained by matching_loss itself, in seconds on a CPU: which objectives hold, which run away.
//
// Teacher: the flow of a mixture of Gaussians on a circle in two dimensions, in closed form. Student: the teacher plus
//   f(x, t) = sqrt(2/R) sum_i theta_i cos(omega_i x + nu_i p(t) + b_i),   omega ~ N(0, 1/space_width^2), nu ~ N(0, 1/time_width^2),
// p(t) in solver steps (p = N (1 - u), t = shift_sigma(u)). Its tangent kernel is exp(-dp^2/(2 time_width^2)) exp(-dx^2/(2
// space_width^2)) for large R, so time_width is that of linear_picture.h. theta starts as noise of a given size and is trained by
// Adam on states of the teacher's Euler trajectories. The teacher itself, theta = 0, is in reach.
#pragma once

#include <cstdint>
#include <vector>

#include "core/config.h"
#include "transfer/matching_config.h"

namespace linden {

struct MatchingTrialConfig {
  int64_t solver_steps = 25;
  double shift = 5;
  int64_t components = 6;
  double radius = 2, deviation = 0.3;  // of the mixture
  int64_t features = 384;              // R
  double space_width = 1.5;
  double perturbation = 0.02;  // deviation of f at the start; the teacher's velocity is of the order of 1
  int64_t batch_size = 64;
  int64_t steps = 300;
  int64_t log_every = 30;
  // What differs from trial to trial of one bench: no keys of a file.
  double time_width = 1;
  double learning_rate = 3e-4;  // Adam (0.9, 0.999)
  double epsilon = 1e-8;        // of Adam; a large one makes it plain gradient descent
  uint64_t seed = 0;
};
void visit_fields(FieldVisitor& v, MatchingTrialConfig& c);

struct MatchingTrial {
  std::vector<int64_t> step;
  std::vector<double> velocity_error;  // mean |f|^2 / mean |u|^2 over 32 held-out teacher trajectories, all solver times
  std::vector<double> own_error;       // the same on the student's own trajectories
  std::vector<double> end_distance;    // mean |x_0 of the student - x_0 of the teacher|, from the same noise
  double growth() const;               // velocity_error: last over first
};
// Stops early, with what it has, once the velocity error is beyond 1e6.
MatchingTrial run_matching_trial(const MatchingConfig& matching, const MatchingTrialConfig& config);

}  // namespace linden
