// The matching losses of selective transfer. Notation of flow_path.h: x_t = (1-t) x_0 + t eps, u = eps - x_0; u is the teacher's
// velocity, u^ the student's, t' a solver time and x_t' a state there on the teacher's trajectory, t a lower time.
//
//   mse        L = 1/2 mean |u^ - u|^2                       both at (x_t', t')                                   (LinVideo Eq. 7)
//   adm        dL/du^(x_t', t') = -w (u - u^)(x^_t, t) / n   KL(q_t || p_t) through one step of the student      (Eq. 11-13)
//                solver_step  x^_t = x_t' + (t - t') u^                       w = (t' - t) (1-t)/t
//                renoise      x^_t = (1-t) (x_t' - t' u^) + t eps             w = (1-t) t' (1-t)/t
//                dmd_norm     w over the sample's mean |(x_t' - t' u^) - (x^_t - t u(x^_t, t))|;   unit  w = 1
//   on_policy  L = 1/2 mean w |u^ - u|^2                     both at (x^_t, t) of solver_step, x^_t without gradient
//   dmd        x^_0 = x_t' - t' u^, x_t = (1-t) x^_0 + t eps; dL/dx^_0 = (x_0 of the critic - x_0 of the teacher)(x_t, t)
//              over n times the sample's mean |x^_0 - x_0 of the teacher|                                (Yin et al. 2024, Eq. 7, 8)
//
// (s - s^)(x) = -(1-t)/t (u - u^)(x) turns scores into velocities: Eq. 13. n is the number of elements; all means are over them, so
// mse, unit and on_policy agree in scale. adm has the value 1/2 mean |w (u - u^)(x^_t, t)|^2 and the gradient of the surrogate
// <x^_t, sg[(1-t)/t (u - u^)(x^_t, t)]> / n; dmd likewise in x^_0. As w carries the step's own derivative, x^_t itself needs none.
//
// Nothing here reads a tensor on the host or branches on values: a CUDA graph can hold a call.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>

#include "diffusion/flow_schedule.h"
#include "transfer/matching_config.h"

namespace linden {

// x: [B, ...]; sigma: [B] fp32 -> the velocity there, as x and of its dtype.
using VelocityAt = std::function<at::Tensor(const at::Tensor& x, const at::Tensor& sigma)>;

struct MatchingNetworks {
  VelocityAt student;  // its gradient is wanted; also asked without
  VelocityAt teacher;  // asked without gradient
  VelocityAt score;    // asked without gradient: adm with score ema or extra, the critic of dmd; else may be empty
};

// The solver's levels on the device that trains.
struct FlowTimes {
  at::Tensor sigma;  // [N+1] fp32, falling, the last is 0
};
FlowTimes flow_times(const FlowSchedule& schedule, at::Device device);

struct MatchingDraw {
  at::Tensor x;           // [B, ...] x_t'
  at::Tensor sigma;       // [B] fp32 t'
  at::Tensor next_sigma;  // [B] fp32 the solver time after t'; 0 after the last
  at::Tensor lower;       // [B] fp32 uniform in 0..1: chooses t
  at::Tensor noise;       // [B, ...] standard normal eps; read where matching_calls says so
  at::Tensor velocity;    // [B, ...] the stored u_t'; read by mse with target stored
};

struct MatchingParts {
  at::Tensor loss;            // scalar with gradient
  at::Tensor velocity_error;  // [B] |u^ - u|^2 / |u|^2 at the point where the two were compared; u^ of the score network where there is one
  at::Tensor sigma;           // [B] the time of that point
  at::Tensor student;         // [B, ...] u^(x_t', t'), detached
};

// networks run under the caller's autocast; their velocities are taken in x's dtype. Throws CheckError for shapes that do not fit
// and for a network or a tensor that the config needs and the caller left out.
MatchingParts matching_loss(const MatchingConfig& config, const FlowTimes& times, const MatchingNetworks& networks, const MatchingDraw& draw);

// Flow matching of the score network on the student's samples: x^_0 = x_t' - t' u^ without gradient, x_t = (1-t) x^_0 + t eps,
//   L = 1/2 mean |score(x_t, t) - (eps - x^_0)|^2,     t as in dmd; its minimum is q's own velocity.
// Here networks.score is asked with gradient. Draw other `lower` and `noise` than the student's step.
at::Tensor critic_loss(const DmdMatchingConfig& config, const MatchingNetworks& networks, const MatchingDraw& draw);

// t of each row, [B] fp32: where adm and on_policy compare.
at::Tensor matching_time(const MatchingTimeConfig& config, const FlowTimes& times, const MatchingDraw& draw);

}  // namespace linden
