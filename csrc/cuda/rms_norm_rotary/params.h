// What the RMSNorm and rotary kernels are given. See README.md for the formulas.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "csrc/cuda/float_type.h"

namespace linden::cuda {

// Strides in elements, each a multiple of 16 bytes, as are the addresses. `type` is that of x, out and their gradients.
struct RmsNormRotaryParams {
  const void* x;  // [B, N, M], M innermost
  int64_t x_batch_stride, x_token_stride;
  const void* weight;  // [M]
  FloatType weight_type;
  const float* cos;       // [N, D/2]; null: no rotation
  const float* sin;       // [N, D/2]
  void* out;              // [B, N, M]
  int64_t batch, tokens;  // B, N; B N < 2^31
  int width, head_dim;    // M, D; D matters only with a table or strides of heads, and is a multiple of 8 then
  float eps;
  FloatType type;
  cudaStream_t stream;
};

struct RmsNormRotaryBackwardParams {
  const void* grad_out;  // [B, N, H, D], D innermost
  int64_t grad_batch_stride, grad_token_stride, grad_head_stride;
  const void* x;  // [B, N, M]
  int64_t x_batch_stride, x_token_stride;
  const void* weight;  // [M]
  FloatType weight_type;
  const float* cos;  // [N, D/2] or null
  const float* sin;
  void* grad_x;             // [B, N, M]; null: not wanted
  float* grad_weight_rows;  // [rms_norm_rotary_backward_blocks(), M]: sums to the weight's gradient; null: not wanted
  int64_t batch, tokens;
  int width, head_dim;
  float eps;
  FloatType type;
  cudaStream_t stream;
};

}  // namespace linden::cuda
