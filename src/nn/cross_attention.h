// Cross-attention of tokens to text, its keys and values apart, so that they are computed once for all sampling steps.
// Names and arithmetic as huggingface/diffusers `models/transformers/transformer_wan.py` (WanAttention); no rotation, and
// padding of the text is attended to like any other token.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include "nn/linear.h"
#include "nn/rms_norm.h"

namespace linden {

struct CrossAttentionOptions {
  int64_t num_heads = 0, head_dim = 0;
  double norm_eps = 1e-6;
};

struct KeysAndValues {
  at::Tensor keys, values;  // [B, L, H, D]
};

class CrossAttentionImpl : public torch::nn::Module {
 public:
  explicit CrossAttentionImpl(const CrossAttentionOptions& options);
  // text: [B, L, M]
  KeysAndValues encode(const at::Tensor& text);
  // x: [B, N, M] -> [B, N, M]
  at::Tensor forward(const at::Tensor& x, const KeysAndValues& text);

 private:
  CrossAttentionOptions options_;
  Linear to_q{nullptr}, to_k{nullptr}, to_v{nullptr}, out_projection_{nullptr};
  HeadRmsNorm norm_q{nullptr}, norm_k{nullptr};
};
TORCH_MODULE(CrossAttention);

}  // namespace linden
