#include "train/ema.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace linden {

double Ema::decay_at(int64_t step) const {
  return std::min(decay_, (1.0 + static_cast<double>(step)) / (10.0 + static_cast<double>(step)));
}

void Ema::update(const at::Tensor& values, int64_t step) { average.lerp_(values, 1.0 - decay_at(step)); }

UseAverage::UseAverage(const at::Tensor& values, const Ema& ema) : values_(values), saved_(values.clone()) { values_.copy_(ema.average); }
UseAverage::~UseAverage() { values_.copy_(saved_); }

}  // namespace linden
