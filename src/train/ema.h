// Exponential moving average of the weights, and using them for a while.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace linden {

class Ema {
 public:
  // decay 0: the average is the weights themselves.
  Ema(double decay, const at::Tensor& values);
  // After step `step` (1, 2, ...). The decay warms up as min(decay, (1 + step) / (10 + step)).
  void update(const at::Tensor& values, int64_t step);
  // The same in two parts: what changes from step to step, and the arithmetic, which a CUDA graph may hold.
  void begin_update(int64_t step);
  void apply(const at::Tensor& values);
  double decay_at(int64_t step) const;

  at::Tensor average;  // [P]

 private:
  double decay_;
  at::Tensor weight_;  // 1 - decay_at(step)
};

// While this object lives, `values` (a model's flat weights) holds the average.
class UseAverage {
 public:
  UseAverage(const at::Tensor& values, const Ema& ema);
  ~UseAverage();
  UseAverage(const UseAverage&) = delete;

 private:
  at::Tensor values_, saved_;
};

}  // namespace linden
