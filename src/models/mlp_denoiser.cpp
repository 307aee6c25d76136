#include "models/mlp_denoiser.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/silu.h>
#include <fmt/ranges.h>
#include <torch/nn/modules/container/modulelist.h>

#include "core/error.h"
#include "nn/trace.h"

namespace linden {

void visit_fields(FieldVisitor& v, MlpDenoiserConfig& c) {
  visit(v, Field("data_dim", "numbers in a sample").at_least(1), c.data_dim);
  visit(v, Field("hidden_dim", "width of a hidden layer").at_least(1), c.hidden_dim);
  visit(v, Field("num_hidden", "hidden layers").at_least(1), c.num_hidden);
  visit(v, Field("embedding_dim", "numbers in the sinusoidal time embedding, which is concatenated to the sample").at_least(2), c.embedding_dim);
}

MlpDenoiserImpl::MlpDenoiserImpl(const MlpDenoiserConfig& config) : config_(config) {
  time_proj = register_module("time_proj", SinusoidalEmbedding(SinusoidalEmbeddingOptions{config.embedding_dim}));
  torch::nn::ModuleList list;
  for (int64_t i = 0; i <= config.num_hidden; ++i) {
    const int64_t in = i == 0 ? config.data_dim + config.embedding_dim : config.hidden_dim;
    layers.emplace_back(in, i == config.num_hidden ? config.data_dim : config.hidden_dim);
    list->push_back(layers.back());
  }
  register_module("layers", list);
}

at::Tensor MlpDenoiserImpl::forward(const at::Tensor& sample, const at::Tensor& timestep) {
  check(sample.dim() == 2 && sample.size(1) == config_.data_dim, "MlpDenoiser: sample is [{}], wanted [B, {}]", fmt::join(sample.sizes(), ", "),
        config_.data_dim);
  check(timestep.dim() == 1 && timestep.size(0) == sample.size(0), "MlpDenoiser: timestep is [{}], wanted [{}]", fmt::join(timestep.sizes(), ", "),
        sample.size(0));
  at::Tensor h = at::cat({sample, time_proj(timestep).to(sample.scalar_type())}, 1);
  for (size_t i = 0; i < layers.size(); ++i) {
    h = layers[i](h);
    TraceScope scope("layers", static_cast<int64_t>(i));
    linden::trace(h);
    if (i + 1 < layers.size()) h = at::silu(h);
  }
  return h;
}

MlpDenoiser load_mlp_denoiser(const std::filesystem::path& folder, const std::string& weights) {
  MlpDenoiser mlp(read_model_config<MlpDenoiserConfig>(folder));
  load_model_weights(*mlp, folder, weights);
  mlp->eval();
  return mlp;
}

}  // namespace linden
