// Mean and covariance of features, streamed in fp64: what a Frechet distance is made of.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace linden {

struct Moments {
  int64_t count = 0;      // S, samples behind them
  at::Tensor mean;        // [F] fp64
  at::Tensor covariance;  // [F, F] fp64, unbiased (divided by S - 1)
};

// Adds up features in batches of any size. Rows are regrouped into blocks of fixed size before they
// are merged (Chan, Golub, LeVeque, "Updating formulae and a pairwise algorithm for computing sample
// variances", 1979), so the result is bit-equal however the rows were cut into batches.
class MomentsAccumulator {
 public:
  // features [B, F], any float type, any device. CheckError: another F than before; InputError: a value
  // that is not finite (names the row).
  void add(const at::Tensor& features);
  // InputError with fewer than two samples.
  Moments moments() const;
  int64_t count() const { return count_; }

 private:
  struct Sums {
    int64_t count = 0;
    at::Tensor mean, scatter;  // [F], [F, F]: sum of (x - mean)(x - mean)^T
  };
  static void merge(Sums& into, const at::Tensor& block);  // block [n, F]

  Sums sums_;
  at::Tensor pending_;  // [n < kBlock, F]
  int64_t count_ = 0;
};

// features [S, F].
Moments moments_of(const at::Tensor& features);

// Throws InputError unless features is [S, F] and finite; returns it in fp64 on the CPU, contiguous. `name` is used in messages.
at::Tensor checked_features(const at::Tensor& features, const char* name);

}  // namespace linden
