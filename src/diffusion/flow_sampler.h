// Samplers of a rectified flow (flow_path.h) as pure functions of (x, velocity, what the solver remembers).
//
//   FlowSampler sampler(config);
//   FlowHistory history;
//   for (int64_t i = 0; i < sampler.num_steps(); ++i) {
//     u = network(x, sampler.schedule().timestep[i]);
//     FlowStep step = sampler.step(history, x, u, noise);
//     x = step.next; history = step.history;
//   }
//
// euler: x + (sigma' - sigma) u. unipc: flow_unipc.h. dpmpp_2m: DPM-Solver++(2M) (Lu et al. 2022, arXiv:2211.01095, alg. 2),
// midpoint form, with alpha = 1 - sigma. flow_sde: flow_sde.h.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <variant>

#include "core/config.h"
#include "diffusion/flow_schedule.h"

namespace linden {

struct FlowEulerConfig : FlowScheduleConfig {
  static constexpr const char* kType = "euler";
};
void visit_fields(FieldVisitor& v, FlowEulerConfig& c);

struct FlowUniPCConfig : FlowScheduleConfig {
  static constexpr const char* kType = "unipc";
  int64_t order = 2;
};
void visit_fields(FieldVisitor& v, FlowUniPCConfig& c);

struct FlowDpmppConfig : FlowScheduleConfig {
  static constexpr const char* kType = "dpmpp_2m";
};
void visit_fields(FieldVisitor& v, FlowDpmppConfig& c);

struct FlowSdeConfig : FlowScheduleConfig {
  static constexpr const char* kType = "flow_sde";
  double eta = 1.0;
  std::string noise = "renoise";
};
void visit_fields(FieldVisitor& v, FlowSdeConfig& c);

using FlowSamplerConfig = std::variant<FlowEulerConfig, FlowUniPCConfig, FlowDpmppConfig, FlowSdeConfig>;

// What a multistep solver remembers before step i; a default one stands before step 0.
struct FlowHistory {
  int64_t step = 0;                // i
  int64_t order = 0;               // of step i-1 (unipc)
  at::Tensor sample;               // [B, ...] x_{i-1} after correction (unipc)
  at::Tensor clean, clean_before;  // [B, ...] x0 as predicted at i-1 and i-2
};

struct FlowStep {
  at::Tensor next;             // [B, ...] x_{i+1}
  at::Tensor mean;             // [B, ...] of the transition; of a deterministic sampler it is `next`
  double deviation = 0;        // of the transition, one number for all rows; 0 if deterministic
  at::Tensor predicted_clean;  // [B, ...] x_i - sigma_i u
  FlowHistory history;         // for step i+1
};

class FlowSampler {
 public:
  explicit FlowSampler(const FlowSamplerConfig& config);
  const FlowSchedule& schedule() const { return schedule_; }
  int64_t num_steps() const { return schedule_.num_steps(); }
  // Whether a step needs noise.
  bool stochastic() const { return std::holds_alternative<FlowSdeConfig>(config_); }
  // x, velocity, noise: [B, ...] of one shape, fp32 or fp64 (convert a bf16 network's output first); noise may be undefined
  // where it is not needed. Throws CheckError.
  FlowStep step(const FlowHistory& history, const at::Tensor& x, const at::Tensor& velocity, const at::Tensor& noise = {}) const;

 private:
  FlowSamplerConfig config_;
  FlowSchedule schedule_;
};

}  // namespace linden
