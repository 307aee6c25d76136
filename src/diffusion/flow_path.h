// The rectified-flow path between data (sigma = 0) and noise (sigma = 1), Liu et al. 2023 (arXiv:2209.03003), eq. 1.
//
//   x_sigma = (1 - sigma) x0 + sigma eps          u = d x_sigma / d sigma = eps - x0
//   x0 = x_sigma - sigma u                        eps = x_sigma + (1 - sigma) u
//
// A network that learns u predicts its mean given x_sigma, so the last line gives the means of x0 and eps.
#pragma once

#include <ATen/core/Tensor.h>

namespace linden {

// clean, noise: [B, ...] of one shape; sigma: [B] in 0..1. Returns x_sigma [B, ...].
at::Tensor flow_interpolate(const at::Tensor& clean, const at::Tensor& noise, const at::Tensor& sigma);
// eps - x0, [B, ...]: the target of flow matching.
at::Tensor flow_velocity(const at::Tensor& clean, const at::Tensor& noise);
// x, velocity: [B, ...] of one shape; sigma: [B]. Returns x0, [B, ...].
at::Tensor flow_clean(const at::Tensor& x, const at::Tensor& velocity, const at::Tensor& sigma);
// The same for eps, [B, ...].
at::Tensor flow_noise(const at::Tensor& x, const at::Tensor& velocity, const at::Tensor& sigma);

// sigma' = s sigma / (1 + (s - 1) sigma): s > 1 spends more steps near the noise (Esser et al. 2024, eq. 23).
double shift_sigma(double sigma, double shift);

}  // namespace linden
