// channels_last: memory order [B, Y, X, C], which convolutions on a GPU want.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

namespace linden {

// Stores every 4-D parameter in channels_last, so that a channels_last input meets weights that need no
// reordering. Values, names and shapes stay.
void weights_to_channels_last(torch::nn::Module& module);

// x [B, C, Y, X] in channels_last, strides included: with one channel a contiguous tensor counts as both layouts, and
// a convolution would take it for contiguous and answer in kind.
at::Tensor to_channels_last(const at::Tensor& x);

}  // namespace linden
