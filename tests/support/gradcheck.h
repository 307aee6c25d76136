// Gradients against central differences in fp64.
#pragma once

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

namespace linden::test {

// Standard normals from a seed.
inline at::Tensor normal(at::IntArrayRef shape, uint64_t seed, at::ScalarType dtype = at::kDouble) {
  return at::randn(shape, at::make_generator<at::CPUGeneratorImpl>(seed), at::TensorOptions(at::kDouble)).to(dtype);
}

// Largest error of autograd's gradient of <f(leaves), c>, c random, over 3 random directions and `num_entries` random
// entries of every leaf; relative to the largest entry of that leaf's gradient. leaves: fp64.
inline double gradient_error(const std::function<at::Tensor(const std::vector<at::Tensor>&)>& f, std::vector<at::Tensor> leaves, int num_entries = 12) {
  constexpr double kStep = 1e-5;
  for (at::Tensor& leaf : leaves) leaf = leaf.detach().clone().requires_grad_();
  const at::Tensor out = f(leaves), cotangent = normal(out.sizes(), 99);
  const std::vector<at::Tensor> grads = torch::autograd::grad({out}, leaves, {cotangent});
  double worst = 0;
  for (size_t i = 0; i < leaves.size(); ++i) {
    const auto value_at = [&](const at::Tensor& moved) {
      const at::NoGradGuard no_grad;
      std::vector<at::Tensor> all = leaves;
      all[i] = moved;
      return (f(all) * cotangent).sum().item<double>();
    };
    const auto error_along = [&](const at::Tensor& direction) {
      const at::Tensor x = leaves[i].detach();
      const double numeric = (value_at(x + kStep * direction) - value_at(x - kStep * direction)) / (2 * kStep);
      return std::abs(numeric - (grads[i] * direction).sum().item<double>()) / std::max(1e-6, grads[i].abs().max().item<double>());
    };
    for (uint64_t d = 0; d < 3; ++d) {
      const at::Tensor direction = normal(leaves[i].sizes(), 200 + 10 * i + d);
      worst = std::max(worst, error_along(direction / direction.norm()));
    }
    for (int e = 0; e < num_entries; ++e) {
      at::Tensor direction = at::zeros_like(leaves[i].detach());
      direction.view(-1)[(e * 7919 + 13) % direction.numel()] = 1;
      worst = std::max(worst, error_along(direction));
    }
  }
  return worst;
}

// |a - b| / |b| over all elements, in fp64.
inline double relative_error(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor truth = b.detach().to(at::kDouble);
  return ((a.detach().to(at::kDouble) - truth).norm() / truth.norm().clamp_min(1e-300)).item<double>();
}

}  // namespace linden::test
