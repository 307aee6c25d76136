// The config of DDPM's U-Net: huggingface/diffusers' UNet2DModel.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/config.h"
#include "models/model_folder.h"

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

}  // namespace linden
