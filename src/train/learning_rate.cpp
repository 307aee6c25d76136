#include "train/learning_rate.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace linden {

void visit_fields(FieldVisitor& v, LearningRateConfig& c) {
  visit(v, Field("schedule", "after warm-up: constant, or cosine or linear down to final_fraction at the last step").one_of({"constant", "cosine", "linear"}),
        c.schedule);
  visit(v, Field("warmup_steps", "steps of linear warm-up from 0").at_least(0), c.warmup_steps);
  visit(v, Field("final_fraction", "learning rate at the last step, as a fraction of the peak").between(0, 1), c.final_fraction);
}

double learning_rate_factor(const LearningRateConfig& config, int64_t step, int64_t num_steps) {
  const auto now = static_cast<double>(step), warmup = static_cast<double>(config.warmup_steps), last = static_cast<double>(num_steps);
  if (now < warmup) return now / warmup;
  if (config.schedule == "constant" || last <= warmup) return 1.0;
  const double position = std::clamp((now - warmup) / (last - warmup), 0.0, 1.0);
  const double shape = config.schedule == "cosine" ? 0.5 * (1.0 + std::cos(std::numbers::pi * position)) : 1.0 - position;
  return config.final_fraction + (1.0 - config.final_fraction) * shape;
}

}  // namespace linden
