#include "train/ema.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace linden {

Ema::Ema(double decay, const at::Tensor& values) : average(values.clone()), decay_(decay), weight_(at::zeros({}, values.options())) {}

double Ema::decay_at(int64_t step) const { return std::min(decay_, (1.0 + static_cast<double>(step)) / (10.0 + static_cast<double>(step))); }

void Ema::update(const at::Tensor& values, int64_t step) {
  begin_update(step);
  apply(values);
}

void Ema::begin_update(int64_t step) { weight_.fill_(1.0 - decay_at(step)); }
void Ema::apply(const at::Tensor& values) { average.lerp_(values, weight_); }

UseAverage::UseAverage(const at::Tensor& values, const Ema& ema) : values_(values), saved_(values.clone()) { values_.copy_(ema.average); }
UseAverage::~UseAverage() { values_.copy_(saved_); }

}  // namespace linden
