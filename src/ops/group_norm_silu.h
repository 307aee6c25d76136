// Group norm with the shift before it and the SiLU after it, which is how residual blocks of U-Nets use it.
// Wu and He 2018, "Group Normalization"; statistics over (channels of a group, Y, X).
#pragma once

#include <ATen/core/Tensor.h>

namespace linden {

struct GroupNormOptions {
  int64_t num_groups = 32;
  double eps = 1e-5;
  bool silu = true;  // false: the norm alone
};

// y = SiLU((x' - mean) / sqrt(var + eps) * weight + bias),  x' = x + shift over Y and X.
//   x: [B, C, Y, X], contiguous or channels_last; y has x's layout. shift: [B, C] or undefined, x's dtype. weight, bias: [C].
// On a GPU, channels_last fp32, bf16 or fp16 with at most 512 channels a group runs csrc/cuda/group_norm_silu, which
// keeps the layout (ATen's group norm returns a contiguous tensor); everything else runs ATen's operators. Gradients
// for x, shift, weight and bias, once. Deterministic.
at::Tensor group_norm_silu(const at::Tensor& x, const at::Tensor& shift, const at::Tensor& weight, const at::Tensor& bias, const GroupNormOptions& options);

// The same by ATen's operators, on any device.
at::Tensor group_norm_silu_reference(const at::Tensor& x, const at::Tensor& shift, const at::Tensor& weight, const at::Tensor& bias,
                                     const GroupNormOptions& options);

}  // namespace linden
