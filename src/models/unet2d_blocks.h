// The three kinds of block of a 2-D U-Net: down, middle, up. Names and order of operations as
// huggingface/diffusers `models/unets/unet_2d_blocks.py` (DownBlock2D, AttnDownBlock2D, UNetMidBlock2D, ...).
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/pimpl.h>

#include <vector>

#include "nn/resample.h"
#include "nn/resnet_block.h"
#include "nn/spatial_attention.h"

namespace linden {

struct UNetBlockOptions {
  int64_t in_channels = 0;
  int64_t skip_channels = 0;  // up: of the last skip; the skips before it have out_channels
  int64_t out_channels = 0;
  int64_t num_layers = 2;
  bool attention = false;
  bool resample = true;  // ends with a down- or up-sampler
  int64_t downsample_padding = 1;
  int64_t attention_groups = 32;  // 0: no norm in the attention
  int64_t head_dim = 0;           // 0: one head
  ResnetBlockOptions resnet;      // what all resnets share; its channels are set by the block
};

class UNetDownBlockImpl : public torch::nn::Module {
 public:
  explicit UNetDownBlockImpl(const UNetBlockOptions& options);
  // x: [B, in, Y, X]; time: [B, time_dim], after SiLU. Appends every layer's result (and the down-sampler's) to
  // `skips`; returns the last one.
  at::Tensor forward(at::Tensor x, const at::Tensor& time, std::vector<at::Tensor>& skips);

 private:
  std::vector<ResnetBlock> resnets;
  std::vector<SpatialAttention> attentions;
  Downsample downsampler{nullptr};
};
TORCH_MODULE(UNetDownBlock);

// resnet, then num_layers times attention (where asked for) and resnet.
class UNetMidBlockImpl : public torch::nn::Module {
 public:
  explicit UNetMidBlockImpl(const UNetBlockOptions& options);
  at::Tensor forward(at::Tensor x, const at::Tensor& time);

 private:
  std::vector<ResnetBlock> resnets;
  std::vector<SpatialAttention> attentions;
};
TORCH_MODULE(UNetMidBlock);

class UNetUpBlockImpl : public torch::nn::Module {
 public:
  explicit UNetUpBlockImpl(const UNetBlockOptions& options);
  // Takes one skip a layer off the end of `skips`.
  at::Tensor forward(at::Tensor x, const at::Tensor& time, std::vector<at::Tensor>& skips);

 private:
  std::vector<ResnetBlock> resnets;
  std::vector<SpatialAttention> attentions;
  Upsample upsampler{nullptr};
};
TORCH_MODULE(UNetUpBlock);

}  // namespace linden
