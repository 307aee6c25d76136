// The residual block of the 2-D U-Nets.
// Names and arithmetic as huggingface/diffusers `models/resnet.py` (ResnetBlock2D).
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>
#include <torch/nn/pimpl.h>

#include <utility>

namespace linden {

struct ResnetBlockOptions {
  int64_t in_channels = 0;
  int64_t out_channels = 0;
  int64_t time_dim = 512;
  int64_t norm_groups = 32;
  double norm_eps = 1e-5;
  double dropout = 0;
  bool scale_shift = false;  // time gives scale and shift after norm2, in place of a shift before it
  double output_scale = 1;   // the result is divided by it
};

class ResnetBlockImpl : public torch::nn::Module {
 public:
  explicit ResnetBlockImpl(const ResnetBlockOptions& options);
  // x: [B, C_in, Y, X]; time: [B, time_dim], SiLU of the time embedding (the same for every block of a
  // network, so it is applied once outside). Returns [B, C_out, Y, X] in x's layout.
  //   GN -> SiLU -> conv1 -> + time_emb_proj(time) -> GN -> SiLU -> conv2 -> + shortcut(x)
  at::Tensor forward(const at::Tensor& x, const at::Tensor& time);

  // For frozen weights. What the block adds to its slice of the stacked projections: weight [P, time_dim] and
  // bias [P], P = projection_size(). From then on `time` is [B, all blocks' P], SiLU already applied and projected,
  // and this block's part begins at column `first`. Later changes of the weights are not seen.
  std::pair<at::Tensor, at::Tensor> freeze(int64_t first);
  int64_t projection_size() const { return (options_.scale_shift ? 2 : 1) * options_.out_channels; }

 private:
  at::Tensor project_time(const at::Tensor& time);
  at::Tensor add_shortcut(const at::Tensor& h, const at::Tensor& x);

  ResnetBlockOptions options_;
  torch::nn::GroupNorm norm1{nullptr}, norm2{nullptr};
  torch::nn::Conv2d conv1{nullptr}, conv2{nullptr}, conv_shortcut{nullptr};
  torch::nn::Linear time_emb_proj{nullptr};
  int64_t first_column_ = -1;  // frozen: where this block's part of `time` begins
  at::Tensor frozen_bias_;     // frozen: conv2's bias and the shortcut's
};
TORCH_MODULE(ResnetBlock);

// conv(x). On a GPU the library leaves the bias to a slow kernel: there it is added by ops/bias_residual.
at::Tensor convolve(torch::nn::Conv2d& conv, const at::Tensor& x);

// nn::Conv2d with a square kernel.
torch::nn::Conv2d make_conv(int64_t in_channels, int64_t out_channels, int64_t kernel, int64_t stride = 1, int64_t padding = 0);

}  // namespace linden
