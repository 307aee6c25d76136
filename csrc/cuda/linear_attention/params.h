// What the linear-attention kernels are given. See README.md for the formulas.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "csrc/cuda/float_type.h"

namespace linden::cuda {

enum class FeatureMap { kHedgehog, kSoftmax, kEluPlusOne, kRelu, kExp, kTaylor2 };

// An activation [B, N, H, D] whose rows of D are contiguous and start at multiples of 16 bytes. Strides in elements.
struct AttentionRows {
  void* data;
  int64_t batch_stride, token_stride, head_stride;
};

// The sizes of one call, the same for all its kernels.
struct LinearAttentionShape {
  int batch, tokens, heads;  // B, N, H
  int head_dim;              // D: 32, 64, 96 or 128
  int projected_dim;         // P: columns of W; 0 for maps without
  int feature_dim;           // R
  FeatureMap map;
  FloatType type;            // of the activations
  const int64_t* num_valid;  // [B]; null: all N are
  float eps;
  int splits;  // stretches of tokens: one block of threads each, per head and sample (state_splits, query_splits, gradient_splits)
  cudaStream_t stream;
};

// c = max over valid tokens of k, for the exp map.
struct KeyShiftParams {
  LinearAttentionShape shape;
  AttentionRows x;
  float* partial;  // [splits, B H, D]
  float* shift;    // [B H, D]
};

// S = sum_n scale_n phi(x_n)^T y_n and z = sum_n weight_n phi(x_n), over valid tokens.
struct StateParams {
  LinearAttentionShape shape;
  bool queries;  // phi of a query (they differ for exp)
  AttentionRows x, y;
  const void* w;             // [H, D, P] in the element type of the kernel (projection_type); null: none
  const float* shift;        // [B H, D]; exp only
  const float* token_scale;  // [B H, N, 2]: scale and weight; null: 1 and 1
  float* partial_state;      // [splits, B H, R, D]
  float* partial_sum;        // [splits, B H, R], of the features as they are rounded for S
  float* partial_exact_sum;  // [splits, B H, R], of unrounded ones, without weights; taylor2 only, else null
};

// c = sum_r z_r S_r / sum_r z_r^2, the row that z_r c comes nearest to all S_r with: README.md, "The centred state".
struct CentreParams {
  LinearAttentionShape shape;
  float* state;            // [B H, R, D]; with exact_sum it becomes S + (exact z - z) c, the state that belongs to it
  const float* sum;        // [B H, R], of the features as they are rounded in S
  const float* exact_sum;  // [B H, R]; null: the same
  float* centre;           // [B H, D]
};

// out_n = phi(q_n) S / max(phi(q_n) z, eps n_valid); rows of padding 0.
struct QueryParams {
  LinearAttentionShape shape;
  AttentionRows x, out;
  const void* w;
  const float* shift;
  const float* state;   // [B H, R, D]
  const float* sum;     // [B H, R]
  const float* centre;  // [B H, D]
};

// The gradient of one side. Queries: x = q, y = dO, state S, sum z; writes dq and token_scale. Keys: x = k, y = v, state dS,
// sum dz of the centred denominators; writes dk and dv.
struct GradientParams {
  LinearAttentionShape shape;
  bool queries;
  AttentionRows x, y, grad_x;
  AttentionRows grad_y;  // dv; keys only
  const void* w;
  const float* shift;
  const float* state;
  const float* sum;
  const float* centre;  // [B H, D], of S: for both sides
  float* token_scale;   // [B H, N, 2]: 1 / D_n and dd_n + dO_n c / D_n; queries only
  float* partial_w;     // [splits, B H, D, P]; null where the map has no W
};

}  // namespace linden::cuda
