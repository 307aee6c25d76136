// Losses and gradient norms of the steps since the last row of metrics.csv, kept on the device: fetched once a
// row, so that the loop never waits for a step.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

namespace linden {

class LossLog {
 public:
  // `capacity`: the most steps between two rows.
  LossLog(int64_t capacity, at::Device device);
  void add(const at::Tensor& loss, const at::Tensor& gradient_norm);  // scalars
  // Fetches what was added. Throws std::runtime_error naming the first step whose loss or norm is not finite;
  // `last_step` is the step of the newest entry, `checkpoint` what is said to be left.
  void require_finite(int64_t last_step, const std::string& checkpoint) const;
  std::vector<double> losses() const;
  std::vector<double> norms() const;
  void restore(const std::vector<double>& losses, const std::vector<double>& norms);
  void clear() { count_ = 0; }
  bool empty() const { return count_ == 0; }

 private:
  std::vector<double> fetch(int64_t column) const;
  at::Tensor values_;  // [capacity, 2] fp32
  int64_t count_ = 0;
};

double mean(const std::vector<double>& values);

}  // namespace linden
