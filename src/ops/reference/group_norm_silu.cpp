#include "ops/group_norm_silu.h"

#include <ATen/ops/add.h>
#include <ATen/ops/group_norm.h>
#include <ATen/ops/silu.h>

namespace linden {

at::Tensor group_norm_silu_reference(const at::Tensor& x, const at::Tensor& shift, const at::Tensor& weight, const at::Tensor& bias,
                                     const GroupNormOptions& options) {
  const at::Tensor shifted = shift.defined() ? at::add(x, shift.unsqueeze(-1).unsqueeze(-1)) : x;
  at::Tensor y = at::group_norm(shifted, options.num_groups, weight, bias, options.eps);
  if (!options.silu) return y;
  return y.requires_grad() ? at::silu(y) : at::silu_(y);
}

}  // namespace linden
