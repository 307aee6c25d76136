#include "nn/resnet_block.h"

#include <ATen/ops/conv2d.h>
#include <ATen/ops/dropout.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/silu.h>

#include "nn/group_norm.h"
#include "nn/trace.h"
#include "ops/bias_residual.h"

namespace linden {

torch::nn::Conv2d make_conv(int64_t in_channels, int64_t out_channels, int64_t kernel, int64_t stride, int64_t padding) {
  return torch::nn::Conv2d(torch::nn::Conv2dOptions(in_channels, out_channels, kernel).stride(stride).padding(padding));
}

at::Tensor convolve(torch::nn::Conv2d& conv, const at::Tensor& x) {
  if (!x.is_cuda()) return conv(x);
  const auto& options = conv->options;
  return bias_residual(at::conv2d(x, conv->weight, {}, options.stride(), std::get<torch::ExpandingArray<2>>(options.padding())), conv->bias, {});
}

ResnetBlockImpl::ResnetBlockImpl(const ResnetBlockOptions& options) : options_(options) {
  const auto norm = [&](int64_t channels) { return torch::nn::GroupNorm(torch::nn::GroupNormOptions(options.norm_groups, channels).eps(options.norm_eps)); };
  const int64_t in = options.in_channels, out = options.out_channels;
  norm1 = register_module("norm1", norm(in));
  conv1 = register_module("conv1", make_conv(in, out, 3, 1, 1));
  time_emb_proj = register_module("time_emb_proj", torch::nn::Linear(options.time_dim, options.scale_shift ? 2 * out : out));
  norm2 = register_module("norm2", norm(out));
  conv2 = register_module("conv2", make_conv(out, out, 3, 1, 1));
  if (in != out) conv_shortcut = register_module("conv_shortcut", make_conv(in, out, 1));
}

std::pair<at::Tensor, at::Tensor> ResnetBlockImpl::freeze(int64_t first) {
  first_column_ = first;
  frozen_bias_ = conv_shortcut ? conv2->bias + conv_shortcut->bias : conv2->bias;
  return {time_emb_proj->weight, options_.scale_shift ? time_emb_proj->bias : time_emb_proj->bias + conv1->bias};
}

// [B, P]: scale and shift, or the shift with conv1's bias in it (one pass over the feature map less).
at::Tensor ResnetBlockImpl::project_time(const at::Tensor& time) {
  if (first_column_ >= 0) return time.narrow(1, first_column_, projection_size());
  return at::linear(time, time_emb_proj->weight, options_.scale_shift ? time_emb_proj->bias : time_emb_proj->bias + conv1->bias);
}

at::Tensor ResnetBlockImpl::forward(const at::Tensor& x, const at::Tensor& time) {
  at::Tensor h = group_norm_silu(norm1, x);
  if (options_.scale_shift) {
    h = group_norm(norm2, convolve(conv1, h));
    const at::Tensor modulation = project_time(time).unsqueeze(-1).unsqueeze(-1);  // [B, 2 C, 1, 1]
    const std::vector<at::Tensor> parts = modulation.chunk(2, 1);
    h = at::silu(h * (1 + parts[0]) + parts[1]);
  } else {
    h = group_norm_silu(norm2, at::conv2d(h, conv1->weight, {}, /*stride=*/1, /*padding=*/1), project_time(time));
  }
  if (options_.dropout > 0 && is_training()) h = at::dropout(h, options_.dropout, /*train=*/true);
  at::Tensor result = add_shortcut(h, x);
  if (options_.output_scale != 1) result = result / options_.output_scale;
  linden::trace(result);
  return result;
}

// conv2(h) + shortcut(x). In-place additions touch only fresh convolution outputs, which no backward pass reads.
at::Tensor ResnetBlockImpl::add_shortcut(const at::Tensor& h, const at::Tensor& x) {
  if (!h.is_cuda()) return conv2(h).add_(conv_shortcut ? conv_shortcut(x) : x);  // a CPU convolution adds its bias for nothing
  const at::Tensor sum = at::conv2d(h, conv2->weight, {}, /*stride=*/1, /*padding=*/1);
  if (!frozen_bias_.defined()) return bias_residual(sum, conv2->bias, conv_shortcut ? convolve(conv_shortcut, x) : x);
  return bias_residual(sum, frozen_bias_, conv_shortcut ? at::conv2d(x, conv_shortcut->weight) : x);
}

}  // namespace linden
