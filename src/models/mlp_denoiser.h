// The noise predictor of the 2-D toys: 4 hidden layers of 128, SiLU (Diffusion Tree Sampling, appendix F.2).
// The paper does not say how time enters: here a sinusoidal embedding of 64 numbers is concatenated to x.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/pimpl.h>

#include <filesystem>
#include <vector>

#include "models/mlp_denoiser_config.h"
#include "nn/timestep_embedding.h"

namespace linden {

class MlpDenoiserImpl : public torch::nn::Module {
 public:
  explicit MlpDenoiserImpl(const MlpDenoiserConfig& config);
  // sample: [B, data_dim]; timestep: [B], any dtype. Returns the predicted noise [B, data_dim].
  at::Tensor forward(const at::Tensor& sample, const at::Tensor& timestep);
  const MlpDenoiserConfig& config() const { return config_; }

 private:
  MlpDenoiserConfig config_;
  SinusoidalEmbedding time_proj{nullptr};
  std::vector<torch::nn::Linear> layers;  // num_hidden, then the output layer
};
TORCH_MODULE(MlpDenoiser);

MlpDenoiser load_mlp_denoiser(const std::filesystem::path& folder, const std::string& weights = "folder");

}  // namespace linden
