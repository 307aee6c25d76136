// The U-Net of DDPM: huggingface/diffusers' UNet2DModel (`models/unets/unet_2d.py`), same config keys, same
// tensor names. Ho et al. 2020 with the layout of google/ddpm-cifar10-32 as one setting.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/normalization.h>
#include <torch/nn/pimpl.h>

#include <vector>

#include "models/unet2d_config.h"
#include "models/unet2d_blocks.h"
#include "nn/timestep_embedding.h"

namespace linden {

class UNet2DImpl : public torch::nn::Module {
 public:
  // Throws ConfigError where the keys do not fit each other.
  explicit UNet2DImpl(const UNet2DConfig& config);

  // sample: [B, in_channels, Y, X], Y and X multiples of 2^(levels - 1), contiguous or channels_last (which is
  // the faster one); timestep: [B], any dtype, same device. Returns [B, out_channels, Y, X].
  // Never waits for the device: it can be captured in a CUDA graph.
  at::Tensor forward(const at::Tensor& sample, const at::Tensor& timestep);

  // For sampling with weights that stay as they are: the time projections of all blocks become one product (for int64
  // timesteps below `num_timesteps` a table, [num_timesteps, all columns]), as do q, k and v. Call it when the module is on
  // its device in its dtype. Results agree to rounding; gradients flow to sample only.
  void freeze(int64_t num_timesteps);

  const UNet2DConfig& config() const { return config_; }

 private:
  // SiLU of the time embedding [B, time_dim], or, frozen, its projections for all blocks [B, P].
  at::Tensor embed_time(const at::Tensor& timestep, at::ScalarType dtype);

  UNet2DConfig config_;
  torch::nn::Conv2d conv_in{nullptr}, conv_out{nullptr};
  SinusoidalEmbedding time_proj{nullptr};
  TimestepEmbedding time_embedding{nullptr};
  std::vector<UNetDownBlock> down_blocks;
  UNetMidBlock mid_block{nullptr};
  std::vector<UNetUpBlock> up_blocks;
  torch::nn::GroupNorm conv_norm_out{nullptr};
  at::Tensor frozen_time_weight_, frozen_time_bias_;  // [P, time_dim], [P]: every resnet's projection
  at::Tensor time_table_;                             // [num_timesteps, P]
};
TORCH_MODULE(UNet2D);

// Config and weights of a model folder, in eval mode, on the CPU in fp32. weights: "folder" or "formula:SEED".
UNet2D load_unet2d(const std::filesystem::path& folder, const std::string& weights = "folder");

}  // namespace linden
