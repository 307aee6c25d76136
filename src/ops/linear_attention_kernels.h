// What a linear-attention implementation computes, and which one runs: a kernel folder plugs in here.
// Inputs are checked (linear_attention.cpp) and carry no gradient below this line.
#pragma once

#include <ATen/core/Tensor.h>

#include "ops/feature_map.h"

namespace linden {

// Any strides. Undefined tensors are absent.
struct LinearAttentionInputs {
  at::Tensor q, k, v;    // [B, N, H, D]
  at::Tensor w_q, w_k;   // [H, D, P]: hedgehog P = D, taylor2 P <= 16; q's dtype or the accumulators'
  at::Tensor num_valid;  // [B] int64: tokens n >= num_valid[b] are padding; absent: none is
};

// What the forward pass leaves: the output and the state, from which the backward pass recomputes everything.
struct LinearAttentionForward {
  at::Tensor out;        // [B, N, H, D], q's dtype, contiguous; rows of padding are 0
  at::Tensor state;      // S = sum_n phi(k_n)^T v_n: [B, H, R, D], accumulator dtype (fp32; fp64 for fp64 inputs)
  at::Tensor key_sum;    // z = sum_n phi(k_n): [B, H, R, 1], accumulator dtype
  at::Tensor key_shift;  // c = max_n k_n: [B, H, 1, D], accumulator dtype; `exp` only, else undefined
};

// Rows of padding are 0. w_q, w_k: in their own dtype; undefined where the input is.
struct LinearAttentionGradients {
  at::Tensor q, k, v, w_q, w_k;
};

// The dispatch: chooses by device, dtype, map and head dim.
LinearAttentionForward linear_attention_forward(const LinearAttentionInputs& inputs, const FeatureMapConfig& map);
LinearAttentionGradients linear_attention_backward(const at::Tensor& grad_out, const LinearAttentionInputs& inputs, const FeatureMapConfig& map,
                                                   const LinearAttentionForward& saved);

at::ScalarType accumulator_type(at::ScalarType dtype);  // fp64 for fp64, else fp32

}  // namespace linden
