// Is a matching objective stable? The linear picture: a student that differs from its teacher by a small velocity error delta, a
// function of time, trained by gradient flow. Its parameters change where it is evaluated with gradient (p); what drives the change
// is the error where the two velocities are compared (q). With the network's tangent kernel Theta over times,
//
//   d delta(k) / d tau = - sum_(p, q) w_pq Theta(k, p) delta(q),       that is   delta' = -M delta,  M = Theta A,  A = sum w e_p e_q^T
//
// mse and on_policy have p = q: A is diagonal and not negative, M is similar to a symmetric matrix without negative eigenvalues, and
// delta^T Theta^-1 delta never grows. adm has q at a later time than p: A is a shift, and what Theta does not couple is corrected
// by another point's error. Theta(p, q) = exp(-(p - q)^2 / (2 width^2)), p and q counted in solver steps.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "diffusion/flow_schedule.h"
#include "transfer/matching_config.h"

namespace linden {

// One-dimensional data N(0, deviation^2): gives dmd_norm its divisors, in closed form (along the teacher's exact trajectories).
struct LinearPictureConfig {
  double width = 1;  // of the kernel, in solver steps
  double deviation = 0.5;
  int64_t cells = 8;    // grid points a solver step: times between solver times are rounded to these
  double horizon = 64;  // in time constants: an isolated point under weight 1 decays as exp(-tau)
};

struct LinearPicture {
  at::Tensor matrix;                   // M [P, P] fp64 on a grid of times, from the first solver time down to 0
  at::Tensor kernel;                   // Theta [P, P]
  std::vector<int64_t> solver_points;  // [N] grid points of the solver's times
};
// mse, adm, on_policy (dmd has no such picture: CheckError). Weights are scaled to sum to the number of solver times, so that
// objectives differ in form and not in learning rate.
LinearPicture linear_picture(const MatchingConfig& matching, const FlowSchedule& schedule, const LinearPictureConfig& config);

struct LinearGrowth {
  double worst = 1;          // largest over tau of the 2-norm of delta at the solver times, from the worst start that the network can make
  double typical = 1;        // the same in root mean square over starts: delta(0) a Gaussian process with kernel Theta
  double final_typical = 1;  // at tau = horizon
  double slowest_rate = 0;   // smallest real part of M's eigenvalues: negative means exponential growth in the end
};
// Over tau = 0, 1/8, 1/4, ..., horizon, in powers of 2. Both norms are relative to those at tau = 0.
LinearGrowth linear_growth(const LinearPicture& picture, double horizon);

}  // namespace linden
