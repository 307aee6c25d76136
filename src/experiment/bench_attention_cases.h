// What each line of `linden bench attention` runs: its inputs and its call.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

#include "experiment/bench_clock.h"
#include "experiment/bench_rows.h"

namespace linden {

// An operation over one set of inputs.
struct BenchCase {
  std::function<std::vector<at::Tensor>(int64_t set)> make;                            // the inputs of a set, by its number
  std::function<std::vector<at::Tensor>(const std::vector<at::Tensor>& inputs)> call;  // returns the outputs
  int64_t num_leaves = 0;                                                              // the first inputs have gradients
};
// For the row's operation, shape, map, dtype and implementation. Throws CheckError for a name that there is not.
BenchCase bench_case_of(const BenchRow& row, uint64_t seed, at::Device device);

// Times the row's pass over sets of inputs that rotate through more memory than a card's L2 holds. Backward is the gradient of
// graphs that were made before and are kept, with random cotangents. What a row cannot do (memory, a back-end that refuses) is
// its error.
void time_row(BenchRow& row, uint64_t seed, const DeviceClock& clock);

// RMSNorm with rotary embedding, and gate + residual + LayerNorm + scale-shift, in LibTorch's operators as models write them.
at::Tensor unfused_rms_norm_rotary(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& cos, const at::Tensor& sin);  // x: [B, N, H, D]
std::vector<at::Tensor> unfused_adaptive_layer_norm(const std::vector<at::Tensor>& inputs);  // residual, branch, gate, scale, shift; returns x, y

}  // namespace linden
