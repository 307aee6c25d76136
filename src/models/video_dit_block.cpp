#include "models/video_dit_block.h"

#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>

#include <cmath>
#include <utility>

#include "nn/stage.h"
#include "nn/trace.h"
#include "ops/adaptive_layer_norm.h"
#include "ops/linear_attention_kernels.h"

namespace linden {

at::Tensor add_branch(const VideoStream& stream) {
  if (!stream.branch.defined()) return stream.residual;
  const at::ScalarType type = accumulator_type(stream.residual.scalar_type());
  const at::Tensor branch = stream.branch.to(type);
  const at::Tensor added = stream.gate.defined() ? branch * stream.gate.to(type).unsqueeze(1) : branch;
  return (stream.residual.to(type) + added).to(stream.residual.scalar_type());
}

AffineLayerNormImpl::AffineLayerNormImpl(int64_t width) {
  weight = register_parameter("weight", at::ones({width}));
  bias = register_parameter("bias", at::zeros({width}));
}

VideoDitBlockImpl::VideoDitBlockImpl(const VideoDitConfig& c, AttentionKind kind) : eps_(c.eps) {
  const int64_t H = c.num_attention_heads, D = c.attention_head_dim, M = H * D;
  attn1 = register_module("attn1", SelfAttention(SelfAttentionOptions{H, D, c.eps, kind, c.feature_map}));
  attn2 = register_module("attn2", CrossAttention(CrossAttentionOptions{H, D, c.eps}));
  if (c.cross_attn_norm) norm2 = register_module("norm2", std::make_shared<KeepsFp32<AffineLayerNormImpl>>(M));
  ffn = register_module("ffn", FeedForward(M, c.ffn_dim));
  scale_shift_table = register_parameter("scale_shift_table", at::randn({1, 6, M}) / std::sqrt(static_cast<double>(M)));
}

KeysAndValues VideoDitBlockImpl::encode_text(const at::Tensor& text) { return attn2->encode(text); }

// What is not needed any more is let go at once: without gradients the feed-forward part's inner tensor then stands beside two others alone.
VideoStream VideoDitBlockImpl::forward(VideoStream stream, const at::Tensor& projection, const KeysAndValues& text, const RotaryTable& table) {
  begin_stage("adaptive_norm");
  const std::vector<at::Tensor> m = (scale_shift_table + projection).unbind(1);  // 6 of [B, M]
  AdaptiveLayerNormOutputs norm = adaptive_layer_norm({stream.residual, stream.branch, stream.gate, m[1], m[0], {}, {}}, eps_);
  stream = {norm.residual, {}, m[2]};
  {
    TraceScope scope("attn1");
    // An fp32 stream without a branch is normed in fp32; the text's keys have the dtype of the products.
    const at::Tensor normed = std::exchange(norm, {}).normed.to(text.keys.scalar_type());
    stream.branch = attn1(normed, table);
  }
  begin_stage("adaptive_norm");
  if (norm2) {
    norm = adaptive_layer_norm({stream.residual, stream.branch, stream.gate, {}, {}, norm2->weight, norm2->bias}, eps_);
  } else {
    norm.residual = add_branch(stream);
    norm.normed = norm.residual.to(stream.branch.scalar_type());
  }
  stream = {norm.residual, {}, {}};
  {
    TraceScope scope("attn2");
    const at::Tensor normed = std::exchange(norm, {}).normed;
    stream.branch = attn2(normed, text);
  }
  begin_stage("adaptive_norm");
  norm = adaptive_layer_norm({stream.residual, stream.branch, {}, m[4], m[3], {}, {}}, eps_);
  stream = {norm.residual, {}, m[5]};
  TraceScope scope("ffn");
  const at::Tensor normed = std::exchange(norm, {}).normed;
  stream.branch = ffn(normed);
  return stream;
}

void VideoDitBlockImpl::to(torch::Device device, torch::Dtype dtype, bool non_blocking) {
  convert_but_keep_fp32(scale_shift_table, [&] { torch::nn::Module::to(device, dtype, non_blocking); });
}

void VideoDitBlockImpl::to(torch::Dtype dtype, bool non_blocking) {
  convert_but_keep_fp32(scale_shift_table, [&] { torch::nn::Module::to(dtype, non_blocking); });
}

}  // namespace linden
