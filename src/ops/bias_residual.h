// The end of a residual block after a convolution that was run without its bias.
#pragma once

#include <ATen/core/Tensor.h>

namespace linden {

// x + bias + residual, written over x (which must be no leaf that wants a gradient), and returned.
//   x, residual: [B, C, Y, X] of one dtype, residual may be undefined (none); bias: [C].
// On a GPU, for channels_last tensors and without gradients: one pass, csrc/cuda/bias_residual.
at::Tensor bias_residual(at::Tensor x, const at::Tensor& bias, const at::Tensor& residual);

}  // namespace linden
