// RMSNorm over the full width of a projection, split into heads and rotated: the `norm_q` and `norm_k` of an attention.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include "ops/rms_norm_rotary.h"

namespace linden {

class HeadRmsNormImpl : public torch::nn::Module {
 public:
  HeadRmsNormImpl(int64_t num_heads, int64_t head_dim, double eps);
  // x: [B, N, M] -> [B, N, H, D]; a table without tensors: no rotation.
  at::Tensor forward(const at::Tensor& x, const RotaryTable& table = {});

 private:
  int64_t num_heads_;
  double eps_;
  at::Tensor weight;  // [M]
};
TORCH_MODULE(HeadRmsNorm);

}  // namespace linden
