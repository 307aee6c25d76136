// csrc/cuda/adaptive_layer_norm for tensors. The forward pass answers whether the kernel took its arguments; where it did not
// (another device or dtypes, gaps, a width that it does not read), nothing was done. Arguments are checked (adaptive_layer_norm.cpp).
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

#include "ops/adaptive_layer_norm.h"

namespace linden {

struct AdaptiveLayerNormForward {
  AdaptiveLayerNormOutputs out;
  at::Tensor statistics;  // [2, B, N] fp32: mean and 1 / sqrt(var + eps) of x
};
std::optional<AdaptiveLayerNormForward> adaptive_layer_norm_kernel(const AdaptiveLayerNormInputs& inputs, double eps);

// Gradients of the inputs, under their names, from those of the outputs (undefined: 0). `in` and `statistics` are those of a forward
// pass that the kernel took; in.residual is not read, x is its result. An absent input's gradient stays undefined.
AdaptiveLayerNormInputs adaptive_layer_norm_kernel_backward(const AdaptiveLayerNormOutputs& grads, const at::Tensor& x, const AdaptiveLayerNormInputs& in,
                                                            const at::Tensor& statistics);

}  // namespace linden
