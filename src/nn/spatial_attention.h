// Self-attention over the pixels of a feature map, with its group norm and residual.
// Names and arithmetic as huggingface/diffusers `models/attention_processor.py` (Attention, as built by
// the 2-D U-Net blocks): group_norm, to_q, to_k, to_v, to_out.0.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/normalization.h>
#include <torch/nn/pimpl.h>

#include "nn/linear.h"

namespace linden {

struct SpatialAttentionOptions {
  int64_t channels = 0;
  int64_t head_dim = 0;      // 0: one head
  int64_t norm_groups = 32;  // 0: no norm
  double norm_eps = 1e-5;
  double output_scale = 1;  // the result is divided by it
};

class SpatialAttentionImpl : public torch::nn::Module {
 public:
  explicit SpatialAttentionImpl(const SpatialAttentionOptions& options);
  // x: [B, C, Y, X] -> [B, C, Y, X] in x's layout.
  //   y = (to_out(softmax(q k^T / sqrt(D)) v) + x) / output_scale,  q, k, v from group_norm(x), tokens = pixels
  at::Tensor forward(const at::Tensor& x);
  // For frozen weights: q, k and v become one product. Later changes of the weights are not seen.
  void freeze();

 private:
  SpatialAttentionOptions options_;
  torch::nn::GroupNorm group_norm_{nullptr};
  Linear to_q{nullptr}, to_k{nullptr}, to_v{nullptr};
  Linear out_projection_{nullptr};
  at::Tensor frozen_weight_, frozen_bias_;  // frozen: [3 C, C] and [3 C] of q, k, v
};
TORCH_MODULE(SpatialAttention);

}  // namespace linden
