// The noise levels of a flow sampler, noisiest first, and the timesteps that the network is given.
//
// sigma_convention "diffusers" (0.42.1; T training steps, shift s applied by shift_sigma):
//   euler, flow_sde   linspace(1, s/(T + s - 1), N), shifted: the shift acts on the last value twice; timestep T sigma in
//                     fp32, not rounded                         (FlowMatchEulerDiscreteScheduler)
//   unipc             linspace(1, 1/T, N+1) without its last, shifted; a first sigma of 1 becomes 1 - 1e-6
//                                                               (UniPCMultistepScheduler, use_flow_sigmas)
//   dpmpp_2m          1 - linspace(1, 1/T, N+1), reversed, without its last (0), shifted
//                                                               (DPMSolverMultistepScheduler, use_flow_sigmas)
// sigma_convention "wan" (Wan-Video/Wan2.1, wan/utils/fm_solvers_unipc.py), for every sampler:
//   linspace(1 - 1/T, 0, N+1) without its last, shifted. These are Wan's levels for UniPC, its default; its own DPM++ starts
//   at 1 instead, which is not offered.
// A sigma of 0 is appended to each. Timesteps are T sigma truncated to an integer, but for diffusers' euler.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/config.h"

namespace linden {

struct FlowScheduleConfig {
  int64_t num_steps = 50;  // N
  double shift = 5.0;      // s
  std::string sigma_convention = "diffusers";
  int64_t num_train_steps = 1000;  // T
};
void visit_fields(FieldVisitor& v, FlowScheduleConfig& c);

// Which of diffusers' schedulers spaces the levels.
enum class FlowSpacing { kEuler, kUniPC, kDpmSolver };

struct FlowSchedule {
  std::vector<float> sigma;     // [N+1], falling, the last is 0
  std::vector<float> timestep;  // [N]
  int64_t num_steps() const { return static_cast<int64_t>(timestep.size()); }
};
// Throws CheckError for a config that a file could not give: 0 steps, a shift of 0, an unknown convention.
FlowSchedule make_flow_schedule(const FlowScheduleConfig& config, FlowSpacing spacing);

}  // namespace linden
