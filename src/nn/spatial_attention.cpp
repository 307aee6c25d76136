#include "nn/spatial_attention.h"

#include <ATen/ops/bmm.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/softmax.h>

#include <cmath>

#include "core/error.h"
#include "nn/group_norm.h"
#include "nn/trace.h"

namespace linden {
namespace {

// softmax(q k^T / sqrt(D)) v, q, k, v: [B, H, N, D]. In fp32 a GPU has only the memory-efficient kernel for it; at the few
// hundred pixels of these feature maps two matrix products (TF32 where that is on) and a softmax are about twice as fast.
at::Tensor attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  constexpr int64_t kFewTokens = 1024;  // scores of [B, N, N] fp32: 4 MiB a sample
  if (!q.is_cuda() || q.scalar_type() != at::kFloat || q.size(1) != 1 || q.size(2) > kFewTokens) return at::scaled_dot_product_attention(q, k, v);
  const at::Tensor scores = at::bmm(q.squeeze(1) * (1 / std::sqrt(static_cast<double>(q.size(3)))), k.squeeze(1).transpose(1, 2));
  return at::bmm(at::softmax(scores, 2), v.squeeze(1)).unsqueeze(1);
}

}  // namespace

SpatialAttentionImpl::SpatialAttentionImpl(const SpatialAttentionOptions& options) : options_(options) {
  const int64_t channels = options.channels;
  if (options_.head_dim == 0) options_.head_dim = channels;
  check(channels % options_.head_dim == 0, "spatial attention: {} channels do not split into heads of {}", channels, options_.head_dim);
  if (options.norm_groups > 0) {
    group_norm_ = register_module("group_norm", torch::nn::GroupNorm(torch::nn::GroupNormOptions(options.norm_groups, channels).eps(options.norm_eps)));
  }
  to_q = register_module("to_q", Linear(channels, channels));
  to_k = register_module("to_k", Linear(channels, channels));
  to_v = register_module("to_v", Linear(channels, channels));
  torch::nn::ModuleList to_out;  // a list in the reference: its second member is a dropout
  out_projection_ = Linear(channels, channels);
  to_out->push_back(out_projection_);
  register_module("to_out", to_out);
}

void SpatialAttentionImpl::freeze() {
  frozen_weight_ = at::cat({to_q->weight, to_k->weight, to_v->weight});
  frozen_bias_ = at::cat({to_q->bias, to_k->bias, to_v->bias});
}

at::Tensor SpatialAttentionImpl::forward(const at::Tensor& x) {
  const int64_t B = x.size(0), C = x.size(1), Y = x.size(2), X = x.size(3), N = Y * X;
  const int64_t D = options_.head_dim, H = C / D;
  const at::Tensor normed = group_norm_ ? group_norm(group_norm_, x) : x;
  const at::Tensor tokens = normed.permute({0, 2, 3, 1}).reshape({B, N, C});  // a view when x is channels_last
  at::Tensor q, k, v;                                                         // [B, H, N, D]
  if (frozen_weight_.defined()) {
    const at::Tensor all = at::linear(tokens, frozen_weight_, frozen_bias_).view({B, N, 3, H, D}).permute({2, 0, 3, 1, 4});
    q = all[0], k = all[1], v = all[2];
  } else {
    const auto heads = [&](Linear& projection) { return projection(tokens).view({B, N, H, D}).transpose(1, 2); };
    q = heads(to_q), k = heads(to_k), v = heads(to_v);
  }
  const at::Tensor mixed = attend(q, k, v);
  at::Tensor out = out_projection_(mixed.transpose(1, 2).reshape({B, N, C}));
  out = out.view({B, Y, X, C}).permute({0, 3, 1, 2});
  at::Tensor result = x + out;
  if (options_.output_scale != 1) result = result / options_.output_scale;
  linden::trace(result);
  return result;
}

}  // namespace linden
