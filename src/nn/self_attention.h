// Self-attention over the tokens of a video, with the mixer as an option: softmax, linear, or a gate between both.
//
//     q = rotate(RMSNorm(x W_q)),  k = rotate(RMSNorm(x W_k)),  v = x W_v,  y = mixer(q, k, v) W_o
//     softmax: softmax(q k^T / sqrt(D)) v;  linear: phi(q) S / (phi(q) z);  gated: r softmax + (1 - r) linear
// Names as huggingface/diffusers `models/transformers/transformer_wan.py` (WanAttention); ours are phi_q, phi_k (the
// learned projections W of a feature map that has them) and gate (r). Both branches of a gate get the same q and k.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <string>
#include <vector>

#include "nn/linear.h"
#include "nn/rms_norm.h"
#include "ops/linear_attention.h"

namespace linden {

enum class AttentionKind { kSoftmax, kLinear, kGated };
// "softmax", "linear", "gated".
std::vector<std::string> attention_kind_names();
// Throws CheckError that lists the names.
AttentionKind attention_kind_of(const std::string& name);

struct SelfAttentionOptions {
  int64_t num_heads = 0, head_dim = 0;
  double norm_eps = 1e-6;
  AttentionKind kind = AttentionKind::kSoftmax;
  FeatureMapConfig feature_map;  // of linear and gated
};

class SelfAttentionImpl : public torch::nn::Module {
 public:
  // W starts as the identity (hedgehog) or as d orthonormal columns a head, the same for q and k, times D^(-1/4), so that
  // s = u_q u_k is q k / sqrt(D) in a random subspace (taylor2). The gate starts at 1.
  explicit SelfAttentionImpl(const SelfAttentionOptions& options);

  // x: [B, N, M]; table: of the N tokens. Returns [B, N, M].
  at::Tensor forward(const at::Tensor& x, const RotaryTable& table);

  // For frozen weights: q, k and v become one product, whose weight [3 M, M] the three projections then share, and a gate
  // of exactly 0 or 1 is decided once. Call it on the final device in the final dtype.
  void freeze();
  // r: [1] fp32; undefined unless the kind is gated.
  at::Tensor& gate() { return gate_; }
  // What a gated mixer runs from here on: kGated both branches, whatever r and without asking it (which would wait for the
  // device), kSoftmax or kLinear one of them.
  void run_as(AttentionKind kind);
  // The linear branch learns to equal the softmax branch: forward passes on softmax and keeps
  //   |O_lin - O_soft|^2 / |O_soft|^2, a scalar in fp32 with a gradient in phi_q and phi_k alone,
  // which take_output_error() hands over. Gated kind only.
  void match_outputs(bool on);
  at::Tensor take_output_error();

  // The gate stays in fp32.
  using torch::nn::Module::to;
  void to(torch::Device device, torch::Dtype dtype, bool non_blocking = false) override;
  void to(torch::Dtype dtype, bool non_blocking = false) override;

 private:
  void register_feature_map();
  at::Tensor mix(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v);  // [B, N, H, D]

  SelfAttentionOptions options_;
  AttentionKind running_kind_;  // options_.kind, or what a frozen gate of 0 or 1 leaves, or run_as()
  bool both_branches_ = false, matches_outputs_ = false;
  at::Tensor output_error_;
  Linear to_q{nullptr}, to_k{nullptr}, to_v{nullptr}, out_projection_{nullptr};
  HeadRmsNorm norm_q{nullptr}, norm_k{nullptr};
  at::Tensor phi_q_, phi_k_;                // [H, D, P]
  at::Tensor gate_;                         // [1]
  at::Tensor frozen_weight_, frozen_bias_;  // [3 M, M], [3 M]
};
TORCH_MODULE(SelfAttention);

}  // namespace linden
