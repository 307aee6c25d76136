// One stochastic step of a rectified flow, from sigma to sigma' < sigma, with x0^ = x - sigma u and eps^ = x + (1 - sigma) u:
//
//   mean = (1 - sigma') x0^ + sqrt(sigma'^2 - tau^2) eps^        next = mean + tau z
//
//   renoise    tau = eta sigma'                                  eta = 1: x0^ with fresh noise
//   ancestral  tau = eta sigma' sqrt(1 - ((1 - sigma) sigma' / ((1 - sigma') sigma))^2)
//                                                                eta = 1: the posterior of the forward process
// As DDIM's eta (Song et al. 2021, eq. 12 and 16) on alpha = 1 - sigma. eta = 0 is the Euler step, bit for bit. Renoise with eta = 1
// is the stochastic_sampling of diffusers' FlowMatchEulerDiscreteScheduler.
//
// Which one: given the true x0 and eps, either keeps x_sigma' | x0 for every eta. A network gives their means instead. Renoise then loses
// the variance of x0 given x at every step: with eta = 1, data N(mu, s^2) end with variance s^2 / 2 however many the steps. It suits
// networks that draw x0 (few-step, consistency). What ancestral loses vanishes as the steps shrink.
#pragma once

#include <ATen/core/Tensor.h>

#include "diffusion/flow_sampler.h"

namespace linden {

// sigma' in two independent parts: deviation^2 + kept^2 = sigma'^2.
struct FlowNoiseSplit {
  double deviation = 0;  // tau: fresh noise
  double kept = 0;       // what stays of the predicted noise
};
FlowNoiseSplit split_flow_noise(const FlowSdeConfig& config, double sigma, double sigma_next);
// x, velocity: [B, ...]. Returns the mean, [B, ...].
at::Tensor flow_sde_mean(const FlowNoiseSplit& split, float sigma, float sigma_next, const at::Tensor& x, const at::Tensor& velocity);
// Throws CheckError for an eta or a noise that a file could not give.
void check_flow_sde(const FlowSdeConfig& config);

}  // namespace linden
