// A module's group norm, with and without the SiLU that follows it in almost every place of a U-Net.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/modules/normalization.h>

namespace linden {

// x: [B, C, Y, X], contiguous or channels_last; the result has x's layout. See ops/group_norm_silu.h.
at::Tensor group_norm(torch::nn::GroupNorm& norm, const at::Tensor& x);

// SiLU(group_norm(x + shift)). shift: [B, C], or undefined.
at::Tensor group_norm_silu(torch::nn::GroupNorm& norm, const at::Tensor& x, const at::Tensor& shift = {});

}  // namespace linden
