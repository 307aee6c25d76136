// How latents, time and text enter the video diffusion transformer, and how its tokens become latents again.
// Names and arithmetic as huggingface/diffusers `models/transformers/transformer_wan.py`.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <array>
#include <memory>

#include "models/video_dit_config.h"
#include "nn/keeps_fp32.h"
#include "nn/linear.h"
#include "nn/timestep_embedding.h"

namespace linden {

using VideoGrid = std::array<int64_t, 3>;  // patches along frames, rows, columns

// A 3-D convolution whose stride is its kernel, as one product.
class PatchEmbeddingImpl : public torch::nn::Module {
 public:
  explicit PatchEmbeddingImpl(const VideoDitConfig& config);
  // latents: [B, C, F, Y, X] -> tokens in raster order, [B, N, M], in the weight's dtype (or autocast's).
  at::Tensor forward(const at::Tensor& latents);

 private:
  at::Tensor weight, bias;  // [M, C, pf, py, px], [M]
};
TORCH_MODULE(PatchEmbedding);

// tokens: [B, N, pf py px C], the channel fastest. Returns [B, C, F, Y, X].
at::Tensor unpatchify(const at::Tensor& tokens, const VideoGrid& grid, const std::vector<int64_t>& patch_size);

// linear_1 -> GELU (tanh) -> linear_2.
class TextProjectionImpl : public torch::nn::Module {
 public:
  TextProjectionImpl(int64_t text_dim, int64_t width);
  at::Tensor forward(const at::Tensor& text);  // [B, L, text_dim] -> [B, L, M]

 private:
  Linear linear_1{nullptr}, linear_2{nullptr};
};
TORCH_MODULE(TextProjection);

struct TimeModulation {
  at::Tensor embedding;   // e: [B, M], for the head
  at::Tensor projection;  // e0: [B, 6, M], for the blocks
};

// Time is computed in fp32 (fp64 in an fp64 module), its weights included, whatever the dtype of the network and autocast.
class ConditionEmbedderImpl : public torch::nn::Module {
 public:
  explicit ConditionEmbedderImpl(const VideoDitConfig& config);
  TimeModulation embed_time(const at::Tensor& timestep);  // [B]
  at::Tensor embed_text(const at::Tensor& text);          // [B, L, text_dim] -> [B, L, M]

 private:
  SinusoidalEmbedding timesteps_proj{nullptr};
  std::shared_ptr<KeepsFp32<TimestepEmbeddingImpl>> time_embedder;
  std::shared_ptr<KeepsFp32<LinearImpl>> time_proj;
  TextProjection text_embedder{nullptr};
};
TORCH_MODULE(ConditionEmbedder);

}  // namespace linden
