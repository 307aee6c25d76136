// The config of the video diffusion transformer: huggingface/diffusers' WanTransformer3DModel, and what linden adds.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/config.h"
#include "models/model_folder.h"
#include "ops/feature_map.h"

namespace linden {

// Keys of WanTransformer3DModel's config.json; null is 0. Defaults are those of Wan 2.1 T2V 14B. A value that linden does
// not have is an error when the config is read.
struct VideoDitConfig {
  static constexpr const char* kClassName = "WanTransformer3DModel";
  static NullableKeys nullable_keys();

  std::vector<int64_t> patch_size = {1, 2, 2};  // frames, rows, columns
  int64_t num_attention_heads = 40;             // H
  int64_t attention_head_dim = 128;             // D
  int64_t in_channels = 16;
  int64_t out_channels = 16;  // 0: in_channels
  int64_t text_dim = 4096;
  int64_t freq_dim = 256;
  int64_t ffn_dim = 13824;
  int64_t num_layers = 40;
  bool cross_attn_norm = true;
  std::string qk_norm = "rms_norm_across_heads";
  double eps = 1e-6;
  int64_t image_dim = 0;          // image conditioning, which linden does not have
  int64_t added_kv_proj_dim = 0;  // the same
  int64_t rope_max_seq_len = 1024;
  int64_t pos_embed_seq_len = 0;  // the same

  // Ours. A config.json leaves them out where they are as here.
  int64_t text_len = 512;                // most text tokens
  std::string residual_dtype = "model";  // of the residual stream: "model" (as diffusers) or "fp32" (as the original)
  std::vector<std::string> attention;    // kind of each block's self-attention; none: softmax; one: all blocks
  FeatureMapConfig feature_map;          // of the linear and gated ones
};
void visit_fields(FieldVisitor& v, VideoDitConfig& c);

// M = H D.
int64_t model_width(const VideoDitConfig& c);
int64_t num_output_channels(const VideoDitConfig& c);
// One kind a block. Throws ConfigError where `attention` has another number of them.
std::vector<std::string> attention_of_blocks(const VideoDitConfig& c);
// Throws ConfigError where the keys do not fit each other.
void check_video_dit_config(const VideoDitConfig& c);

}  // namespace linden
