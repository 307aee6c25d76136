#include "diffusion/flow_sampler.h"

#include <ATen/ATen.h>

#include <cmath>

#include "core/error.h"
#include "diffusion/flow_sde.h"
#include "diffusion/flow_unipc.h"

namespace linden {
namespace {

FlowSpacing spacing_of(const FlowSamplerConfig& config) {
  if (std::holds_alternative<FlowUniPCConfig>(config)) return FlowSpacing::kUniPC;
  if (std::holds_alternative<FlowDpmppConfig>(config)) return FlowSpacing::kDpmSolver;
  return FlowSpacing::kEuler;
}

void check_config(const FlowSamplerConfig& config) {
  if (const auto* unipc = std::get_if<FlowUniPCConfig>(&config))
    check(unipc->order == 1 || unipc->order == 2, "unipc: order is {}, wanted 1 or 2", unipc->order);
  if (const auto* sde = std::get_if<FlowSdeConfig>(&config)) check_flow_sde(*sde);
}

// Whether `history` has what a step after the first needs.
bool remembers(const FlowSamplerConfig& config, const FlowHistory& history) {
  if (std::holds_alternative<FlowUniPCConfig>(config)) {
    return history.sample.defined() && history.clean.defined() && (history.order == 1 || history.clean_before.defined());
  }
  return !std::holds_alternative<FlowDpmppConfig>(config) || history.clean.defined();
}

// The arithmetic of one sampler on the step from sigma[i] to sigma[i+1]. `clean` is x0 as predicted at i.
struct StepInput {
  const FlowSchedule& schedule;
  const FlowHistory& history;
  const at::Tensor &x, &velocity, &noise, &clean;
  size_t i() const { return static_cast<size_t>(history.step); }
  float sigma() const { return schedule.sigma[i()]; }
  float sigma_next() const { return schedule.sigma[i() + 1]; }
};

FlowStep deterministic(at::Tensor next, const StepInput& in) {
  FlowStep out;
  out.mean = next;
  out.next = std::move(next);
  out.history.clean = in.clean;
  out.history.clean_before = in.history.clean;
  return out;
}

FlowStep advance(const FlowEulerConfig&, const StepInput& in) { return deterministic(in.x + (in.sigma_next() - in.sigma()) * in.velocity, in); }

FlowStep advance(const FlowUniPCConfig& config, const StepInput& in) {
  UniPCStep step = unipc_step(in.schedule, in.history, config.order, in.x, in.clean);
  FlowStep out = deterministic(std::move(step.next), in);
  out.history.sample = std::move(step.corrected);
  out.history.order = step.order;
  return out;
}

FlowStep advance(const FlowDpmppConfig&, const StepInput& in) {
  const float sigma = in.sigma(), next = in.sigma_next(), alpha = 1.0f - next;
  const float h = flow_log_snr(next) - flow_log_snr(sigma), decay = alpha * (std::exp(-h) - 1.0f);
  at::Tensor out = (next / sigma) * in.x - decay * in.clean;
  const bool first_order = in.i() == 0 || next == 0.0f;
  if (!first_order) {
    const float h_before = flow_log_snr(sigma) - flow_log_snr(in.schedule.sigma[in.i() - 1]);
    const at::Tensor slope = (1.0f / (h_before / h)) * (in.clean - in.history.clean);
    out = out - (0.5f * decay) * slope;
  }
  return deterministic(std::move(out), in);
}

FlowStep advance(const FlowSdeConfig& config, const StepInput& in) {
  const FlowNoiseSplit split = split_flow_noise(config, in.sigma(), in.sigma_next());
  FlowStep out;
  out.mean = flow_sde_mean(split, in.sigma(), in.sigma_next(), in.x, in.velocity);
  out.deviation = split.deviation;
  if (split.deviation > 0) {
    check(in.noise.defined() && in.noise.sizes() == in.x.sizes(), "flow_sde: step {} has deviation {} and needs noise of x's shape", in.history.step,
          split.deviation);
    out.next = out.mean + split.deviation * in.noise;
  } else {
    out.next = out.mean;
  }
  return out;
}

}  // namespace

void visit_fields(FieldVisitor& v, FlowEulerConfig& c) { visit_fields(v, static_cast<FlowScheduleConfig&>(c)); }

void visit_fields(FieldVisitor& v, FlowUniPCConfig& c) {
  visit_fields(v, static_cast<FlowScheduleConfig&>(c));
  visit(v, Field("order", "of the predictor; the corrector adds one").between(1, 2), c.order);
}

void visit_fields(FieldVisitor& v, FlowDpmppConfig& c) { visit_fields(v, static_cast<FlowScheduleConfig&>(c)); }

void visit_fields(FieldVisitor& v, FlowSdeConfig& c) {
  visit_fields(v, static_cast<FlowScheduleConfig&>(c));
  visit(v, Field("eta", "0: the Euler step, 1: as much fresh noise as `noise` allows").between(0, 1), c.eta);
  visit(v,
        Field("noise",
              "renoise: x0 is re-noised afresh (for networks that draw x0, as few-step ones); ancestral: the forward "
              "process' posterior, which keeps the marginals of a velocity network as N grows")
            .one_of({"renoise", "ancestral"}),
        c.noise);
}

FlowSampler::FlowSampler(const FlowSamplerConfig& config)
    : config_(config),
      schedule_(std::visit([&](const auto& c) { return make_flow_schedule(c, spacing_of(config)); }, config)) {
  check_config(config);
}

FlowStep FlowSampler::step(const FlowHistory& history, const at::Tensor& x, const at::Tensor& velocity, const at::Tensor& noise) const {
  check(history.step >= 0 && history.step < num_steps(), "flow sampler: step {} of {} steps (allowed 0..{})", history.step, num_steps(), num_steps() - 1);
  check(x.sizes() == velocity.sizes(), "flow sampler: x has {} elements, velocity {}; wanted one shape", x.numel(), velocity.numel());
  check((x.scalar_type() == at::kFloat || x.scalar_type() == at::kDouble) && x.scalar_type() == velocity.scalar_type(),
        "flow sampler: x is {} and velocity {}; wanted both Float or both Double", c10::toString(x.scalar_type()), c10::toString(velocity.scalar_type()));
  check(history.step == 0 || remembers(config_, history), "flow sampler: step {} needs the history of the step before, but it is empty", history.step);
  const float sigma = schedule_.sigma[static_cast<size_t>(history.step)];
  const at::Tensor clean = x - sigma * velocity;
  const StepInput input{schedule_, history, x, velocity, noise, clean};
  FlowStep out = std::visit([&](const auto& c) { return advance(c, input); }, config_);
  out.predicted_clean = clean;
  out.history.step = history.step + 1;
  return out;
}

}  // namespace linden
