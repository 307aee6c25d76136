// Gaussian data under the rectified flow, in closed form: x0 ~ N(mu, s^2) has x_sigma ~ N((1 - sigma) mu, V),
// V = (1 - sigma)^2 s^2 + sigma^2.
#pragma once

#include <ATen/ATen.h>

#include <cmath>

#include "diffusion/flow_sampler.h"

namespace linden::test {

struct GaussianFlow {
  double mu = 1.3, s = 0.5;
  double mean(double sigma) const { return (1 - sigma) * mu; }
  double variance(double sigma) const { return (1 - sigma) * (1 - sigma) * s * s + sigma * sigma; }
  // E[x0 | x] and E[eps - x0 | x].
  at::Tensor clean(const at::Tensor& x, double sigma) const { return mu + (1 - sigma) * s * s / variance(sigma) * (x - mean(sigma)); }
  at::Tensor velocity(const at::Tensor& x, double sigma) const { return (x - clean(x, sigma)) / sigma; }
  // Where the ODE takes x at sigma to at 0.
  double exact_end(double x, double sigma) const { return mu + s / std::sqrt(variance(sigma)) * (x - mean(sigma)); }
};

// The whole chain from x; `velocity` is called with (x, sigma), `noise` with x.
template <class Velocity, class Noise>
at::Tensor run_flow(const FlowSampler& sampler, at::Tensor x, const Velocity& velocity, const Noise& noise) {
  FlowHistory history;
  for (int64_t i = 0; i < sampler.num_steps(); ++i) {
    const double sigma = sampler.schedule().sigma[static_cast<size_t>(i)];
    const FlowStep step = sampler.step(history, x, velocity(x, sigma), noise(x));
    x = step.next;
    history = step.history;
  }
  return x;
}

}  // namespace linden::test
