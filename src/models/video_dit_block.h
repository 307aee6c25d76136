// A block of the video diffusion transformer: self-attention, cross-attention to text, feed-forward, each behind a norm.
// Names and arithmetic as huggingface/diffusers `models/transformers/transformer_wan.py` (WanTransformerBlock).
//
// The block is a chain of products and one pass between two of them (ops/adaptive_layer_norm.h): gate, residual, LayerNorm,
// scale and shift. The gate and residual of its last branch belong to the pass that opens the next block, so a block hands
// on the stream and a branch that is not yet added.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <memory>
#include <vector>

#include "models/video_dit_config.h"
#include "nn/cross_attention.h"
#include "nn/feed_forward.h"
#include "nn/keeps_fp32.h"
#include "nn/self_attention.h"

namespace linden {

// The stream is residual + gate * branch; the first block gets the residual alone.
struct VideoStream {
  at::Tensor residual;  // [B, N, M]
  at::Tensor branch;    // [B, N, M]
  at::Tensor gate;      // [B, M]
};
// residual + gate * branch in fp32, rounded to residual's dtype.
at::Tensor add_branch(const VideoStream& stream);

// The weight and bias of the LayerNorm before cross-attention: its arithmetic is in the pass between products.
class AffineLayerNormImpl : public torch::nn::Module {
 public:
  explicit AffineLayerNormImpl(int64_t width);
  at::Tensor weight, bias;  // [M]
};

class VideoDitBlockImpl : public torch::nn::Module {
 public:
  VideoDitBlockImpl(const VideoDitConfig& config, AttentionKind kind);

  // projection: [B, 6, M], time's; text: of encode_text; table: of the N tokens.
  VideoStream forward(VideoStream stream, const at::Tensor& projection, const KeysAndValues& text, const RotaryTable& table);
  // text: [B, L, M]
  KeysAndValues encode_text(const at::Tensor& text);
  SelfAttention& self_attention() { return attn1; }

  // The table of shifts, scales and gates stays in fp32.
  using torch::nn::Module::to;
  void to(torch::Device device, torch::Dtype dtype, bool non_blocking = false) override;
  void to(torch::Dtype dtype, bool non_blocking = false) override;

 private:
  double eps_;
  at::Tensor scale_shift_table;  // [1, 6, M]: shift, scale, gate of self-attention, then of feed-forward
  SelfAttention attn1{nullptr};
  CrossAttention attn2{nullptr};
  std::shared_ptr<KeepsFp32<AffineLayerNormImpl>> norm2;  // none without cross_attn_norm
  FeedForward ffn{nullptr};
};
TORCH_MODULE(VideoDitBlock);

}  // namespace linden
