// A network (or a closed form) that predicts the noise of a noisy sample.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace linden {

class NoisePredictor {
 public:
  virtual ~NoisePredictor() = default;
  // x: [B, ...shape()]; timesteps: [B] int64, index into the training schedule (0 .. T-1). Returns the
  // predicted noise, same shape as x. Differentiable by autograd in x.
  virtual at::Tensor predict_noise(const at::Tensor& x, const at::Tensor& timesteps) = 0;
  virtual std::vector<int64_t> shape() const = 0;  // of one sample, without B
  virtual at::Device device() const = 0;
};

}  // namespace linden
