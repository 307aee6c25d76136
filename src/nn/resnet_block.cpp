#include "nn/resnet_block.h"

#include <ATen/ops/conv2d.h>
#include <ATen/ops/dropout.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/silu.h>

#include "nn/group_norm.h"
#include "nn/trace.h"

namespace linden {

torch::nn::Conv2d make_conv(int64_t in_channels, int64_t out_channels, int64_t kernel, int64_t stride,
                            int64_t padding) {
  return torch::nn::Conv2d(torch::nn::Conv2dOptions(in_channels, out_channels, kernel).stride(stride).padding(padding));
}

ResnetBlockImpl::ResnetBlockImpl(const ResnetBlockOptions& options) : options_(options) {
  const auto norm = [&](int64_t channels) {
    return torch::nn::GroupNorm(torch::nn::GroupNormOptions(options.norm_groups, channels).eps(options.norm_eps));
  };
  const int64_t in = options.in_channels, out = options.out_channels;
  norm1 = register_module("norm1", norm(in));
  conv1 = register_module("conv1", make_conv(in, out, 3, 1, 1));
  time_emb_proj =
      register_module("time_emb_proj", torch::nn::Linear(options.time_dim, options.scale_shift ? 2 * out : out));
  norm2 = register_module("norm2", norm(out));
  conv2 = register_module("conv2", make_conv(out, out, 3, 1, 1));
  if (in != out) conv_shortcut = register_module("conv_shortcut", make_conv(in, out, 1));
}

at::Tensor ResnetBlockImpl::forward(const at::Tensor& x, const at::Tensor& time) {
  // In-place additions below touch only fresh convolution outputs, which no backward pass reads.
  at::Tensor h = group_norm_silu(norm1, x);
  if (options_.scale_shift) {
    h = group_norm(norm2, conv1(h));
    const at::Tensor modulation = time_emb_proj(time).unsqueeze(-1).unsqueeze(-1);  // [B, 2 C, 1, 1]
    const std::vector<at::Tensor> parts = modulation.chunk(2, 1);
    h = at::silu(h * (1 + parts[0]) + parts[1]);
  } else {
    // The convolution's bias rides on the time shift: one pass over the feature map less.
    const at::Tensor shift = at::linear(time, time_emb_proj->weight, time_emb_proj->bias + conv1->bias);  // [B, C]
    h = at::conv2d(h, conv1->weight, {}, /*stride=*/1, /*padding=*/1).add_(shift.unsqueeze(-1).unsqueeze(-1));
    h = group_norm_silu(norm2, h);
  }
  if (options_.dropout > 0 && is_training()) h = at::dropout(h, options_.dropout, /*train=*/true);
  h = conv2(h);
  at::Tensor result = h.add_(conv_shortcut ? conv_shortcut(x) : x);
  if (options_.output_scale != 1) result = result / options_.output_scale;
  linden::trace(result);
  return result;
}

}  // namespace linden
