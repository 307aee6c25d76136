#include "nn/rms_norm.h"

#include <ATen/ops/ones.h>

namespace linden {

HeadRmsNormImpl::HeadRmsNormImpl(int64_t num_heads, int64_t head_dim, double eps) : num_heads_(num_heads), eps_(eps) {
  weight = register_parameter("weight", at::ones({num_heads * head_dim}));
}

at::Tensor HeadRmsNormImpl::forward(const at::Tensor& x, const RotaryTable& table) { return rms_norm_rotary(x, weight, num_heads_, table, eps_); }

}  // namespace linden
