// What sampling, tree search and the baselines see of a diffusion model: a Markov chain of states.
//
// Levels count the steps that remain: level S = num_levels() is the initial draw, level 0 a finished
// sample. A state is a tensor of any shape and dtype (images, latents, tokens). The functions are pure in
// tensors, so an executor can capture them in a CUDA graph; noise is made outside, by (seed, index, level).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace linden {

struct StateSpec {
  std::vector<int64_t> shape;  // of one sample, without B
  at::ScalarType dtype = at::kFloat;
};

// One step of the chain. Rows are samples.
struct Transition {
  at::Tensor next;             // [B, ...] the state one level down
  at::Tensor mean;             // [B, ...] where the transition is Gaussian, else undefined
  at::Tensor deviation;        // [B] standard deviation of the transition
  at::Tensor predicted_clean;  // [B, ...] estimate of the finished sample
};

class Denoiser {
 public:
  virtual ~Denoiser() = default;
  virtual StateSpec state() const = 0;
  virtual int64_t num_levels() const = 0;  // S
  virtual at::Device device() const = 0;
  // State at level S from standard normals [B, ...].
  virtual at::Tensor initial(const at::Tensor& noise) const = 0;
  // Every row from its own level l (1 .. S) to l-1. state: [B, ...]; levels: [B] int64 on device();
  // noise: [B, ...] standard normals. Without `details` only `next` is filled. One call is one NFE a row.
  virtual Transition step(const at::Tensor& state, const at::Tensor& levels, const at::Tensor& noise, bool details) const = 0;
  // Estimate of the finished sample, [B, ...]; differentiable by autograd in `state` if differentiable().
  virtual at::Tensor predict_clean(const at::Tensor& state, const at::Tensor& levels) const = 0;
  virtual bool differentiable() const = 0;
  // Calls of the network in one step: 2 where guidance runs as two calls. NFE counts the step once.
  virtual int64_t network_calls_per_step() const { return 1; }
};

}  // namespace linden
