// Learning rate by step: linear warm-up, then constant, cosine to zero, or linear to zero.
#pragma once

#include <cstdint>
#include <string>

#include "core/config.h"

namespace linden {

struct LearningRateConfig {
  std::string schedule = "cosine";
  int64_t warmup_steps = 100;
  double final_fraction = 0.0;  // of the peak, at the last step
};
void visit_fields(FieldVisitor& v, LearningRateConfig& c);

// Factor on the peak rate at step `step` (1 .. num_steps).
double learning_rate_factor(const LearningRateConfig& config, int64_t step, int64_t num_steps);

}  // namespace linden
