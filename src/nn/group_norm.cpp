#include "nn/group_norm.h"

#include <ATen/ops/group_norm.h>
#include <ATen/ops/silu.h>

namespace linden {

at::Tensor group_norm(torch::nn::GroupNorm& norm, const at::Tensor& x) {
  return at::group_norm(x, norm->options.num_groups(), norm->weight, norm->bias, norm->options.eps());
}

at::Tensor group_norm_silu(torch::nn::GroupNorm& norm, const at::Tensor& x) {
  at::Tensor y = group_norm(norm, x);
  return y.requires_grad() ? at::silu(y) : at::silu_(y);
}

}  // namespace linden
