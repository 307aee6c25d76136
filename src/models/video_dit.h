// The video diffusion transformer: Wan 2.1 T2V, huggingface/diffusers' WanTransformer3DModel
// (`models/transformers/transformer_wan.py`, text-to-video part), same config keys, same tensor names; each block's
// self-attention is softmax, linear or gated. Layout, dtypes and figures: docs/video_transformer.md.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <filesystem>
#include <string>
#include <vector>

#include "models/video_dit_block.h"
#include "models/video_dit_config.h"
#include "models/video_dit_embedding.h"
#include "nn/linear.h"

namespace linden {

// What a text becomes before it meets a video; the same for all sampling steps.
struct TextCache {
  std::vector<KeysAndValues> blocks;  // of each block's cross-attention
};

class VideoDitImpl : public torch::nn::Module {
 public:
  // Throws ConfigError where the keys do not fit each other.
  explicit VideoDitImpl(const VideoDitConfig& config);

  // latents: [B, C, F, Y, X], multiples of the patch; timestep: [B], 0..1000, fp32 or integer; text: [B, L, text_dim],
  // L from 1 to text_len, padding included and attended to; of batch 1 it serves all videos. All on the module's device; latents and text are converted to
  // its dtype. Returns the velocity [B, C_out, F, Y, X] in the dtype of the products. Throws InputError on shapes that do
  // not fit.
  at::Tensor forward(const at::Tensor& latents, const at::Tensor& timestep, const at::Tensor& text);
  // The same in two parts: bit-equal, differentiable through both.
  TextCache encode_text(const at::Tensor& text);
  at::Tensor forward_cached(const at::Tensor& latents, const at::Tensor& timestep, const TextCache& text);

  // For sampling with weights that stay as they are: q, k and v of self-attention become one product, and gates of 0 or 1
  // are decided once. Call it when the module is on its device in its dtype. Results agree to rounding.
  void freeze();
  // In training a block keeps its inputs alone (two of [B, N, M]) and runs again in the backward pass.
  void set_activation_checkpointing(bool on) { activation_checkpointing_ = on; }

  const VideoDitConfig& config() const { return config_; }
  std::vector<VideoDitBlock>& blocks() { return blocks_; }

  // Time's weights, norms before cross-attention, the tables of shifts and scales and the gates stay in fp32 where dtype is
  // bf16 or fp16.
  using torch::nn::Module::to;
  void to(torch::Device device, torch::Dtype dtype, bool non_blocking = false) override;
  void to(torch::Dtype dtype, bool non_blocking = false) override;

 private:
  VideoGrid grid_of(const at::Tensor& latents) const;  // checks its shape
  const RotaryTable& rotary_table(const VideoGrid& grid, at::Device device);
  VideoStream run_block(size_t i, VideoStream stream, const at::Tensor& projection, const KeysAndValues& text, const RotaryTable& table);
  at::Tensor head(const VideoStream& stream, const at::Tensor& embedding);  // [B, N, pf py px C]

  VideoDitConfig config_;
  PatchEmbedding patch_embedding{nullptr};
  ConditionEmbedder condition_embedder{nullptr};
  std::vector<VideoDitBlock> blocks_;
  Linear proj_out{nullptr};
  at::Tensor scale_shift_table;  // [1, 2, M]: shift, scale
  bool activation_checkpointing_ = false;

  // The table of the last grid, which a sampler asks for again.
  VideoGrid table_grid_ = {0, 0, 0};
  RotaryTable table_;
};
TORCH_MODULE(VideoDit);

// Config and weights, in eval mode, on the CPU in fp32: a model folder, or any layout of models/wan_checkpoint.h (a pipeline, shards, the
// original code's naming), attention kinds and linear mixers included. weights: "folder" or "formula:SEED". Throws InputError.
VideoDit load_video_dit(const std::filesystem::path& folder, const std::string& weights = "folder");

}  // namespace linden
