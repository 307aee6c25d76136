// The noise predictor of the 2-D toys: 4 hidden layers of 128, SiLU (Diffusion Tree Sampling, appendix F.2).
// The paper does not say how time enters: here a sinusoidal embedding of 64 numbers is concatenated to x.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/pimpl.h>

#include <filesystem>
#include <vector>

#include "core/config.h"
#include "models/model_folder.h"
#include "nn/timestep_embedding.h"

namespace linden {

struct MlpDenoiserConfig {
  static constexpr const char* kClassName = "MlpDenoiser";
  static NullableKeys nullable_keys() { return {}; }
  int64_t data_dim = 2;
  int64_t hidden_dim = 128;
  int64_t num_hidden = 4;
  int64_t embedding_dim = 64;
};
void visit_fields(FieldVisitor& v, MlpDenoiserConfig& c);

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
