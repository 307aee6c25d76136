#include "nn/group_norm.h"

#include "ops/group_norm_silu.h"

namespace linden {

at::Tensor group_norm(torch::nn::GroupNorm& norm, const at::Tensor& x) {
  return group_norm_silu(x, {}, norm->weight, norm->bias, {norm->options.num_groups(), norm->options.eps(), /*silu=*/false});
}

at::Tensor group_norm_silu(torch::nn::GroupNorm& norm, const at::Tensor& x, const at::Tensor& shift) {
  return group_norm_silu(x, shift, norm->weight, norm->bias, {norm->options.num_groups(), norm->options.eps()});
}

}  // namespace linden
