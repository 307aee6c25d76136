// What stands between two branches of a transformer block, in one function: gate + residual + LayerNorm + scale-shift.
//
//     x = residual + gate branch                               (the residual stream goes on with x)
//     y = (xh weight + bias) (1 + scale) + shift,   xh = (x - mean_M(x)) / sqrt(var_M(x) + eps)
// (`Wan-Video/Wan2.1` `wan/modules/model.py`, WanAttentionBlock; weight and bias: its affine norm before cross-attention.)
//
// Backward, a = xh weight + bias, from dy and the stream's own dx0:
//     dshift = sum_N dy,  dscale = sum_N dy a,  da = dy (1 + scale),  dbias = sum da,  dweight = sum da xh
//     dx = dx0 + rstd (g - mean_M(g) - xh mean_M(g xh)),  g = da weight
//     dresidual = dx,  dbranch = gate dx,  dgate = sum_N dx branch
// All in fp32 (fp64 for fp64). x is rounded to residual's dtype before it is normed, so that the backward pass sees the
// same x that goes on.
#pragma once

#include <ATen/core/Tensor.h>

namespace linden {

// Undefined members are left out of the formula; branch and gate go together or branch stands alone (gate 1).
struct AdaptiveLayerNormInputs {
  at::Tensor residual;      // [B, N, M]
  at::Tensor branch;        // [B, N, M]: an attention's or MLP's output, in its own dtype
  at::Tensor gate;          // [B, M]
  at::Tensor scale, shift;  // [B, M]
  at::Tensor weight, bias;  // [M]
};
struct AdaptiveLayerNormOutputs {
  at::Tensor residual;  // x: [B, N, M], residual's dtype
  at::Tensor normed;    // y: [B, N, M], branch's dtype (residual's without a branch)
};

// On a GPU, tensors without gaps in fp32, bf16 or fp16 (residual in branch's dtype or fp32) with M <= 5120 and a multiple of 8 run
// csrc/cuda/adaptive_layer_norm; everything else LibTorch's operators.
AdaptiveLayerNormOutputs adaptive_layer_norm(const AdaptiveLayerNormInputs& inputs, double eps = 1e-6);

}  // namespace linden
