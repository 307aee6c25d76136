// What the adaptive layer norm kernels are given. See README.md for the formulas.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "csrc/cuda/float_type.h"

namespace linden::cuda {

// [B, N, M] and [M] without gaps; [B, M] by the stride of its rows, a multiple of 4. All addresses on 16 bytes. Null: absent.
// residual_type is that of residual, x and their gradients, branch_type that of branch, y and their gradients (without a
// branch: of y); it is residual_type, or a 2-byte type where that is fp32.
struct AdaptiveLayerNormParams {
  const void* residual;  // [B, N, M]
  const void* branch;    // [B, N, M]
  const float* gate;     // [B, M]
  const float* scale;    // [B, M]
  const float* shift;    // [B, M]
  int64_t gate_stride, scale_stride, shift_stride;
  const float* weight;    // [M]
  const float* bias;      // [M]
  void* x;                // [B, N, M]
  void* y;                // [B, N, M]
  float* mean;            // [B, N] of x
  float* rstd;            // [B, N]
  int64_t batch, tokens;  // B, N
  int width;              // M
  float eps;
  FloatType residual_type, branch_type;
  cudaStream_t stream;
};

struct AdaptiveLayerNormBackwardParams {
  const void* grad_x;  // [B, N, M]: the stream's own gradient; null: 0
  const void* grad_y;  // [B, N, M]
  const void* x;       // [B, N, M], from the forward pass
  const void* branch;  // [B, N, M]; wanted for the gate's gradient only
  const float* gate;   // [B, M]
  const float* scale;  // [B, M]
  int64_t gate_stride, scale_stride;
  const float* weight;  // [M]
  const float* mean;    // [B, N]
  const float* rstd;    // [B, N]
  void* grad_residual;  // [B, N, M]; null: not wanted
  void* grad_branch;    // [B, N, M]; null: not wanted
  // Sums over the rows of one block, [B, adaptive_layer_norm_backward_blocks(), M] each; null: not wanted.
  float* sum_grad_y;         // of dy
  float* sum_grad_y_normed;  // of dy xh
  float* sum_grad_x_branch;  // of dx branch
  int64_t batch, tokens;
  int width;
  FloatType residual_type, branch_type;
  cudaStream_t stream;
};

}  // namespace linden::cuda
