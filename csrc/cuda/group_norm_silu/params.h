// What the group norm kernels are given. See README.md for the formulas.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "csrc/cuda/float_type.h"

namespace linden::cuda {

// Tensors named [B, P, C] are channels_last images: P = Y X pixels, C channels innermost, no gaps. `type` is the
// type of all but the statistics and the sums, which are fp32.
struct GroupNormSiluParams {
  const void* x;          // [B, P, C]
  const void* shift;      // [B, C], added to x before the norm; null: none
  int64_t shift_stride;   // elements from one row of shift to the next
  const void* weight;     // [C]
  const void* bias;       // [C]
  void* y;                // [B, P, C]
  float* mean;            // [B, G] of x + shift; null: not kept
  float* rstd;            // [B, G]; null: not kept
  int64_t batch, pixels;  // B, P
  int channels, groups;   // C, G
  float eps;
  bool silu;  // false: the norm alone
  FloatType type;
  cudaStream_t stream;
};

struct GroupNormSiluBackwardParams {
  const void* grad_y;  // [B, P, C]
  const void* x;       // [B, P, C]
  const void* shift;   // [B, C] or null
  int64_t shift_stride;
  const void* weight;       // [C]
  const void* bias;         // [C]
  const float* mean;        // [B, G], from the forward pass
  const float* rstd;        // [B, G]
  void* grad_x;             // [B, P, C]
  float* grad_shift;        // [B, C]: sum of grad_x over pixels; null: not wanted
  float* grad_weight_rows;  // [B, C]: the weight's gradient, one row a sample; null: not wanted
  float* grad_bias_rows;    // [B, C]; null: not wanted
  int64_t batch, pixels;
  int channels, groups;
  bool silu;
  FloatType type;
  cudaStream_t stream;
};

}  // namespace linden::cuda
