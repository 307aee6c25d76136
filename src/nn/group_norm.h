// Group norm, with and without the SiLU that follows it in almost every place of a U-Net.
// Wu and He 2018, "Group Normalization"; the statistics run over (channels of a group, Y, X).
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/modules/normalization.h>

namespace linden {

// x: [B, C, Y, X], contiguous or channels_last; the result has x's layout.
at::Tensor group_norm(torch::nn::GroupNorm& norm, const at::Tensor& x);

// SiLU(group_norm(x)). In place on the normalised tensor where no gradient is wanted.
at::Tensor group_norm_silu(torch::nn::GroupNorm& norm, const at::Tensor& x);

}  // namespace linden
