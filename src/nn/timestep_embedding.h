// The sinusoidal embedding of diffusion time and the small network on it.
// Ho et al. 2020 (DDPM), after Vaswani et al. 2017; options as huggingface/diffusers
// `models/embeddings.py` (get_timestep_embedding, TimestepEmbedding).
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/pimpl.h>

namespace linden {

struct SinusoidalEmbeddingOptions {
  int64_t dim = 128;
  bool cos_first = false;  // [cos, sin] in place of [sin, cos]     (flip_sin_to_cos)
  int64_t freq_shift = 0;  // f_i = 10^(-4 i / (dim/2 - freq_shift))
};

// No parameters and no buffers: the frequencies are a table that moves with the module and has no name
// in a checkpoint.
class SinusoidalEmbeddingImpl : public torch::nn::Module {
 public:
  explicit SinusoidalEmbeddingImpl(const SinusoidalEmbeddingOptions& options);
  // timesteps: [B], any dtype, on the module's device. Returns [B, dim] fp32.
  at::Tensor forward(const at::Tensor& timesteps);

  using torch::nn::Module::to;
  void to(torch::Device device, torch::Dtype dtype, bool non_blocking = false) override;
  void to(torch::Device device, bool non_blocking = false) override;

 private:
  SinusoidalEmbeddingOptions options_;
  at::Tensor frequencies_;  // [dim / 2] fp32, whatever the module's dtype
};
TORCH_MODULE(SinusoidalEmbedding);

// linear_1 -> SiLU -> linear_2.
class TimestepEmbeddingImpl : public torch::nn::Module {
 public:
  TimestepEmbeddingImpl(int64_t in_dim, int64_t time_dim);
  // embedding: [B, in_dim] -> [B, time_dim]
  at::Tensor forward(const at::Tensor& embedding);

 private:
  torch::nn::Linear linear_1{nullptr}, linear_2{nullptr};
};
TORCH_MODULE(TimestepEmbedding);

}  // namespace linden
