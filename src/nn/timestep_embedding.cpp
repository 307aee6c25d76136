#include "nn/timestep_embedding.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/silu.h>

#include <cmath>

#include "core/error.h"
#include "nn/trace.h"

namespace linden {

SinusoidalEmbeddingImpl::SinusoidalEmbeddingImpl(const SinusoidalEmbeddingOptions& options) : options_(options) {
  const int64_t half = options.dim / 2;
  check(half > options.freq_shift, "sinusoidal embedding: dim is {}, wanted more than {}", options.dim, 2 * options.freq_shift + 1);
  // In fp32 and in the reference's order: at t = 999 one ulp of a frequency is already 6e-5 in the angle.
  const at::Tensor exponent = at::arange(half, at::kFloat) * -std::log(10000.0) / static_cast<double>(half - options.freq_shift);
  frequencies_ = exponent.exp();
}

at::Tensor SinusoidalEmbeddingImpl::forward(const at::Tensor& timesteps) {
  const at::Tensor angles = timesteps.to(at::kFloat).unsqueeze(1) * frequencies_;  // [B, dim / 2]
  at::Tensor embedding = options_.cos_first ? at::cat({angles.cos(), angles.sin()}, 1) : at::cat({angles.sin(), angles.cos()}, 1);
  if (options_.dim % 2 == 1) embedding = at::constant_pad_nd(embedding, {0, 1});
  linden::trace(embedding);
  return embedding;
}

void SinusoidalEmbeddingImpl::to(torch::Device device, torch::Dtype dtype, bool non_blocking) {
  torch::nn::Module::to(device, dtype, non_blocking);
  frequencies_ = frequencies_.to(device);
}

void SinusoidalEmbeddingImpl::to(torch::Device device, bool non_blocking) {
  torch::nn::Module::to(device, non_blocking);
  frequencies_ = frequencies_.to(device);
}

TimestepEmbeddingImpl::TimestepEmbeddingImpl(int64_t in_dim, int64_t time_dim) {
  linear_1 = register_module("linear_1", torch::nn::Linear(in_dim, time_dim));
  linear_2 = register_module("linear_2", torch::nn::Linear(time_dim, time_dim));
}

at::Tensor TimestepEmbeddingImpl::forward(const at::Tensor& embedding) {
  const at::Tensor result = linear_2(at::silu(linear_1(embedding)));
  linden::trace(result);
  return result;
}

}  // namespace linden
