// RMSNorm over the full width, then an optional 3-axis rotary embedding per head: what stands between the projections of
// q and k and any attention (`Wan-Video/Wan2.1` `wan/modules/model.py`, WanSelfAttention and rope_apply).
//
//     y = rotate( x w / sqrt(mean_M(x^2) + eps) )
// Backward, with xh = x rstd and g = rotate^-1(dy):  dw = sum g xh,  dx = rstd (w g - xh mean_M(w g xh)).
// All in fp32 (fp64 for fp64), cast once at the end; the original casts back between norm and weight, which differs in
// the last bit of bf16.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>

namespace linden {

// cos and sin of the angle of every token and pair of dimensions.
struct RotaryTable {
  at::Tensor cos, sin;  // [N, D/2] fp32 (or fp64)
};

// Real dims of a head for the axes (frame, row, column): D - 4 floor(D/6), 2 floor(D/6), 2 floor(D/6); 44, 42, 42 of 128.
std::array<int64_t, 3> rotary_axis_dims(int64_t head_dim);
// Tokens in raster order of a grid [F, Y, X]. Pair j of an axis of m dims turns by position * 10000^(-2j/m); pairs are
// interleaved, (x_0, x_1), (x_2, x_3), ...; angles in fp64, the table in `dtype` on `device`.
RotaryTable make_rotary_table(std::array<int64_t, 3> grid, int64_t head_dim, at::ScalarType dtype = at::kFloat, at::Device device = at::kCPU);

// x: [B, N, M], any strides (a slice of one q-k-v projection is fine). weight: [M]. table: undefined members: no rotation.
// Returns [B, N, H, D] in x's dtype, contiguous, D = M / num_heads. Differentiable once in x and weight.
// On a GPU, fp32, bf16 and fp16 with M <= 8192 and D a multiple of 8 run csrc/cuda/rms_norm_rotary; everything else LibTorch's operators.
at::Tensor rms_norm_rotary(const at::Tensor& x, const at::Tensor& weight, int64_t num_heads, const RotaryTable& table, double eps = 1e-6);

}  // namespace linden
