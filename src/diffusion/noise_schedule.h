// Discrete noise schedules (DDPM): beta_t, t = 0 .. T-1, and alpha_bar_t = prod (1 - beta).
// x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps          (Ho et al. 2020, eq. 4)
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/config.h"

namespace linden {

struct NoiseScheduleConfig {
  int64_t num_train_steps = 1000;  // T
  std::string beta_schedule = "linear";
  double beta_start = 1e-4;
  double beta_end = 0.02;
};
void visit_fields(FieldVisitor& v, NoiseScheduleConfig& c);

// beta_t and alpha_bar_t, t = 0 .. T-1: fp32 values, bit-equal to diffusers' tables.
struct NoiseSchedule {
  explicit NoiseSchedule(const NoiseScheduleConfig& config);
  std::vector<double> beta, alpha_bar;
  int64_t num_train_steps() const { return static_cast<int64_t>(beta.size()); }
};

}  // namespace linden
