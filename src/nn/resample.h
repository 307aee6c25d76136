// Halving and doubling of a feature map.
// Names and arithmetic as huggingface/diffusers `models/downsampling.py`, `models/upsampling.py`.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/pimpl.h>

namespace linden {

// 3x3 convolution of stride 2. padding 1: on all sides; padding 0: one row below and one column to the right.
class DownsampleImpl : public torch::nn::Module {
 public:
  DownsampleImpl(int64_t channels, int64_t padding);
  at::Tensor forward(const at::Tensor& x);  // [B, C, Y, X] -> [B, C, ceil(Y / 2), ceil(X / 2)] (padding 0: floor)

 private:
  int64_t padding_;
  torch::nn::Conv2d conv{nullptr};
};
TORCH_MODULE(Downsample);

// Nearest neighbour x2, then a 3x3 convolution.
class UpsampleImpl : public torch::nn::Module {
 public:
  explicit UpsampleImpl(int64_t channels);
  at::Tensor forward(const at::Tensor& x);  // [B, C, Y, X] -> [B, C, 2Y, 2X]

 private:
  torch::nn::Conv2d conv{nullptr};
};
TORCH_MODULE(Upsample);

}  // namespace linden
