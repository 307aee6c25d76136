// A video model of one block, or some, that a test can write, load and run in milliseconds.
#pragma once

#include <ATen/ATen.h>

#include <filesystem>
#include <memory>

#include "models/video_model.h"

namespace linden::test {

inline VideoModel tiny_teacher(int64_t seed = 0, int64_t channels = 1, int64_t num_layers = 1, int64_t head_dim = 16) {
  at::manual_seed(seed);
  VideoDitConfig layout;
  layout.patch_size = {1, 2, 2};
  layout.num_attention_heads = 1;
  layout.attention_head_dim = head_dim;
  layout.in_channels = layout.out_channels = channels;
  layout.text_dim = 8;
  layout.text_len = 3;
  layout.ffn_dim = 16;
  layout.num_layers = num_layers;
  VideoModel model;
  model.transformer = VideoDit(layout);
  model.text_encoder = std::make_shared<CaptionEmbeddingImpl>(CaptionEmbeddingConfig{{"up", "down", "a"}, 3, 8});
  model.scheduler.shift = 3;
  model.sample_shape = {channels, 2, 4, 4};
  return model;
}

inline std::filesystem::path write_tiny_teacher(const std::filesystem::path& folder, int64_t seed = 0) {
  save_video_model(folder, tiny_teacher(seed), at::kFloat);
  return folder;
}

}  // namespace linden::test
