// csrc/cuda/rms_norm_rotary for tensors. Each function answers whether the kernel took its arguments; where it did not (another
// device or dtype, strides or a width that it does not read), nothing was done. Arguments are checked (rms_norm_rotary.cpp).
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

#include "ops/rms_norm_rotary.h"

namespace linden {

// out [B, N, H, D].
std::optional<at::Tensor> rms_norm_rotary_kernel(const at::Tensor& x, const at::Tensor& weight, int64_t num_heads, const RotaryTable& table, double eps);

// `weight` stays undefined where it is not wanted.
struct RmsNormRotaryGradients {
  at::Tensor x;       // [B, N, M], x's dtype
  at::Tensor weight;  // [M], weight's dtype
};
std::optional<RmsNormRotaryGradients> rms_norm_rotary_kernel_backward(const at::Tensor& grad_out, const at::Tensor& x, const at::Tensor& weight,
                                                                      const RotaryTable& table, double eps, bool for_weight);

}  // namespace linden
