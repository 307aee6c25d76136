#include "nn/spatial_attention.h"

#include <ATen/ops/scaled_dot_product_attention.h>

#include "core/error.h"
#include "nn/group_norm.h"
#include "nn/trace.h"

namespace linden {

SpatialAttentionImpl::SpatialAttentionImpl(const SpatialAttentionOptions& options) : options_(options) {
  const int64_t channels = options.channels;
  if (options_.head_dim == 0) options_.head_dim = channels;
  check(channels % options_.head_dim == 0, "spatial attention: {} channels do not split into heads of {}", channels,
        options_.head_dim);
  if (options.norm_groups > 0) {
    group_norm_ = register_module(
        "group_norm",
        torch::nn::GroupNorm(torch::nn::GroupNormOptions(options.norm_groups, channels).eps(options.norm_eps)));
  }
  to_q = register_module("to_q", torch::nn::Linear(channels, channels));
  to_k = register_module("to_k", torch::nn::Linear(channels, channels));
  to_v = register_module("to_v", torch::nn::Linear(channels, channels));
  torch::nn::ModuleList to_out;  // a list in the reference: its second member is a dropout
  out_projection_ = torch::nn::Linear(channels, channels);
  to_out->push_back(out_projection_);
  register_module("to_out", to_out);
}

at::Tensor SpatialAttentionImpl::forward(const at::Tensor& x) {
  const int64_t B = x.size(0), C = x.size(1), Y = x.size(2), X = x.size(3), N = Y * X;
  const int64_t D = options_.head_dim, H = C / D;
  const at::Tensor normed = group_norm_ ? group_norm(group_norm_, x) : x;
  const at::Tensor tokens = normed.permute({0, 2, 3, 1}).reshape({B, N, C});  // a view when x is channels_last
  const auto heads = [&](torch::nn::Linear& projection) {
    return projection(tokens).view({B, N, H, D}).transpose(1, 2);  // [B, H, N, D]
  };
  const at::Tensor mixed = at::scaled_dot_product_attention(heads(to_q), heads(to_k), heads(to_v));
  at::Tensor out = out_projection_(mixed.transpose(1, 2).reshape({B, N, C}));
  out = out.view({B, Y, X, C}).permute({0, 3, 1, 2});
  at::Tensor result = x + out;
  if (options_.output_scale != 1) result = result / options_.output_scale;
  linden::trace(result);
  return result;
}

}  // namespace linden
