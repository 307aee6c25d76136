// The U-Net of DDPM: huggingface/diffusers' UNet2DModel (`models/unets/unet_2d.py`), same config keys, same
// tensor names. Ho et al. 2020 with the layout of google/ddpm-cifar10-32 as one setting.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/normalization.h>
#include <torch/nn/pimpl.h>

#include <string>
#include <vector>

#include "core/config.h"
#include "models/model_folder.h"
#include "models/unet2d_blocks.h"
#include "nn/timestep_embedding.h"

namespace linden {

// Keys and defaults of UNet2DModel's config.json; null is 0 or "". A value that linden does not have is an
// error when the config is read.
struct UNet2DConfig {
  static constexpr const char* kClassName = "UNet2DModel";
  static NullableKeys nullable_keys();

  int64_t sample_size = 0;
  int64_t in_channels = 3;
  int64_t out_channels = 3;
  bool center_input_sample = false;
  std::string time_embedding_type = "positional";
  int64_t time_embedding_dim = 0;  // 0: 4 block_out_channels[0]
  int64_t freq_shift = 0;
  bool flip_sin_to_cos = true;
  std::vector<std::string> down_block_types = {"DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"};
  std::string mid_block_type = "UNetMidBlock2D";
  std::vector<std::string> up_block_types = {"AttnUpBlock2D", "AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"};
  std::vector<int64_t> block_out_channels = {224, 448, 672, 896};
  int64_t layers_per_block = 2;
  double mid_block_scale_factor = 1;
  int64_t downsample_padding = 1;
  std::string downsample_type = "conv";
  std::string upsample_type = "conv";
  double dropout = 0;
  std::string act_fn = "silu";
  int64_t attention_head_dim = 8;  // 0: one head
  int64_t norm_num_groups = 32;
  int64_t attn_norm_num_groups = 0;  // of the middle block; 0: norm_num_groups
  double norm_eps = 1e-5;
  std::string resnet_time_scale_shift = "default";
  bool add_attention = true;  // in the middle block
  std::string class_embed_type;
  int64_t num_class_embeds = 0;
  int64_t num_train_timesteps = 0;
};
void visit_fields(FieldVisitor& v, UNet2DConfig& c);

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
  at::Tensor frozen_time_weight_, frozen_time_bias_;   // [P, time_dim], [P]: every resnet's projection
  at::Tensor time_table_;                              // [num_timesteps, P]
};
TORCH_MODULE(UNet2D);

// Config and weights of a model folder, in eval mode, on the CPU in fp32. weights: "folder" or "formula:SEED".
UNet2D load_unet2d(const std::filesystem::path& folder, const std::string& weights = "folder");

}  // namespace linden
