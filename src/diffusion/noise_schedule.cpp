#include "diffusion/noise_schedule.h"

#include <ATen/ATen.h>

#include <cmath>

#include "core/error.h"

namespace linden {

void visit_fields(FieldVisitor& v, NoiseScheduleConfig& c) {
  visit(v, Field("num_train_steps", "number of training timesteps T").at_least(1).at_most(100000), c.num_train_steps);
  visit(v, Field("beta_schedule", "linear in beta, or scaled_linear: linear in sqrt(beta), squared").one_of({"linear", "scaled_linear"}), c.beta_schedule);
  visit(v, Field("beta_start", "beta of timestep 0").above(0).at_most(1), c.beta_start);
  visit(v, Field("beta_end", "beta of timestep T-1").above(0).at_most(1), c.beta_end);
}

NoiseSchedule::NoiseSchedule(const NoiseScheduleConfig& config) {
  check_input(config.beta_start <= config.beta_end, "noise schedule: beta_start {} is above beta_end {}", config.beta_start, config.beta_end);
  // In fp32 and with the very operations of the reference library (diffusers' schedulers), so that 1 - alpha_bar,
  // which cancels at small t, is the same number.
  const bool scaled = config.beta_schedule == "scaled_linear";
  const auto root = [&](double value) { return scaled ? std::sqrt(value) : value; };
  at::Tensor betas = at::linspace(root(config.beta_start), root(config.beta_end), config.num_train_steps, at::kFloat);
  if (scaled) betas = betas.square();
  const at::Tensor products = at::cumprod(1.0 - betas, 0);
  const float *b = betas.const_data_ptr<float>(), *p = products.const_data_ptr<float>();
  beta.assign(b, b + betas.numel());
  alpha_bar.assign(p, p + products.numel());
}

}  // namespace linden
