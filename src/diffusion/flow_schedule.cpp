#include "diffusion/flow_schedule.h"

#include <cmath>

#include "core/error.h"
#include "diffusion/flow_path.h"

namespace linden {
namespace {

// numpy's linspace without its last value: `count` values from `first`, `last` would be the next.
std::vector<double> open_linspace(double first, double last, int64_t count) {
  std::vector<double> values;
  const double step = (last - first) / static_cast<double>(count);
  for (int64_t i = 0; i < count; ++i) values.push_back(static_cast<double>(i) * step + first);
  return values;
}

std::vector<double> euler_levels(const FlowScheduleConfig& c) {
  // The reference finds its lowest sigma in fp32, and makes its levels as timesteps.
  const double train = static_cast<double>(c.num_train_steps);
  const float shift = static_cast<float>(c.shift), low = 1.0f / static_cast<float>(c.num_train_steps);
  const double last = static_cast<double>(shift * low / (1.0f + (shift - 1.0f) * low)) * train;
  std::vector<double> levels = c.num_steps == 1 ? std::vector<double>{train} : open_linspace(train, last, c.num_steps - 1);
  if (c.num_steps > 1) levels.push_back(last);
  for (double& level : levels) level = shift_sigma(level / train, c.shift);
  return levels;
}

std::vector<double> unipc_levels(const FlowScheduleConfig& c) {
  constexpr double kBelowOne = 1e-6;  // log(1 - sigma) must be finite
  std::vector<double> levels = open_linspace(1.0, 1.0 / static_cast<double>(c.num_train_steps), c.num_steps);
  for (double& level : levels) level = shift_sigma(level, c.shift);
  if (std::abs(levels[0] - 1.0) < kBelowOne) levels[0] -= kBelowOne;
  return levels;
}

std::vector<double> dpm_solver_levels(const FlowScheduleConfig& c) {
  const double low = 1.0 / static_cast<double>(c.num_train_steps);
  std::vector<double> alphas = open_linspace(1.0, low, c.num_steps);
  alphas.push_back(low);
  std::vector<double> levels;
  for (size_t i = alphas.size() - 1; i > 0; --i) levels.push_back(shift_sigma(1.0 - alphas[i], c.shift));
  return levels;
}

std::vector<double> wan_levels(const FlowScheduleConfig& c) {
  // Wan keeps its highest sigma in fp32.
  const float high = static_cast<float>(1.0 - 1.0 / static_cast<double>(c.num_train_steps));
  std::vector<double> levels = open_linspace(static_cast<double>(high), 0.0, c.num_steps);
  for (double& level : levels) level = shift_sigma(level, c.shift);
  return levels;
}

std::vector<double> levels_of(const FlowScheduleConfig& c, FlowSpacing spacing) {
  if (c.sigma_convention == "wan") return wan_levels(c);
  switch (spacing) {
    case FlowSpacing::kEuler: return euler_levels(c);
    case FlowSpacing::kUniPC: return unipc_levels(c);
    case FlowSpacing::kDpmSolver: break;
  }
  return dpm_solver_levels(c);
}

}  // namespace

void visit_fields(FieldVisitor& v, FlowScheduleConfig& c) {
  visit(v, Field("num_steps", "denoising steps N").between(1, 10000), c.num_steps);
  visit(v, Field("shift", "timestep shift s; above 1 spends more steps near the noise").above(0), c.shift);
  visit(v, Field("sigma_convention", "whose noise levels: diffusers' scheduler of this sampler, or the original Wan 2.1").one_of({"diffusers", "wan"}),
        c.sigma_convention);
  visit(v, Field("num_train_steps", "training timesteps T: a network's timestep is T sigma").at_least(2), c.num_train_steps);
}

FlowSchedule make_flow_schedule(const FlowScheduleConfig& config, FlowSpacing spacing) {
  check(config.num_steps >= 1, "flow schedule: num_steps is {}, wanted at least 1", config.num_steps);
  check(config.shift > 0, "flow schedule: shift is {}, wanted a number above 0", config.shift);
  check(config.num_train_steps >= 2, "flow schedule: num_train_steps is {}, wanted at least 2", config.num_train_steps);
  check(config.sigma_convention == "wan" || config.sigma_convention == "diffusers", "flow schedule: sigma_convention is '{}', wanted 'diffusers' or 'wan'",
        config.sigma_convention);
  FlowSchedule schedule;
  const bool whole = config.sigma_convention == "wan" || spacing != FlowSpacing::kEuler;
  for (const double level : levels_of(config, spacing)) {
    const float sigma = static_cast<float>(level);
    schedule.sigma.push_back(sigma);
    schedule.timestep.push_back(whole ? static_cast<float>(std::trunc(level * static_cast<double>(config.num_train_steps)))
                                      : sigma * static_cast<float>(config.num_train_steps));
  }
  schedule.sigma.push_back(0.0f);
  return schedule;
}

}  // namespace linden
