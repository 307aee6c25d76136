// Two-dimensional priors whose noisy density, score and tilted target are known exactly: the truth against
// which samplers are tested (Diffusion Tree Sampling, section 4.4 and appendix F.2).
//
// With a = sqrt(abar_t), s = sqrt(1 - abar_t) and x_t = a x_0 + s eps, the exact noise prediction is
//     eps(x_t, t) = E[eps | x_t] = -s grad log p_t(x_t).
// Everything is computed in fp64 and returned in x's dtype. On the CPU, where no gradient is wanted, a plain
// loop runs (a microsecond a row); otherwise differentiable tensor operations on x's device.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <array>
#include <cstdint>
#include <vector>

#include "diffusion/noise_predictor.h"

namespace linden {

using Point2 = std::array<double, 2>;

// Gaussian mixture: sum_k weight_k N(mean_k, sigma^2 I).
struct MixtureModes {
  std::vector<Point2> means;
  std::vector<double> weights;  // sum to 1
  double sigma = 0.3;
  int64_t size() const { return static_cast<int64_t>(means.size()); }
};
// Equal modes on a circle, mean_k = radius (cos, sin)(2 pi k / num_modes), k = 0 .. num_modes-1.
MixtureModes ring_of_modes(int64_t num_modes = 8, double radius = 4, double sigma = 0.3);

// Tables a_t and s_t by timestep; what both priors share.
class ClosedFormPrior : public NoisePredictor {
 public:
  std::vector<int64_t> shape() const override { return {2}; }
  at::Device device() const override { return device_; }
  at::Tensor predict_noise(const at::Tensor& x, const at::Tensor& timesteps) final;  // x: [B, 2] fp32 or fp64
  // log p_t(x): [B] fp64, differentiable in x. x: [B, 2].
  at::Tensor log_density(const at::Tensor& x, const at::Tensor& timesteps) const;
  // n exact draws of x_0: [n, 2] fp32 on the CPU; draw i is stream (seed, kData, i).
  virtual at::Tensor sample(int64_t n, uint64_t seed) const = 0;

 protected:
  ClosedFormPrior(const std::vector<double>& alpha_bar, at::Device device);
  // One row on the CPU: x, a, s -> eps.
  virtual void noise_row(const double* x, double a, double s, double* eps) const = 0;
  // x: [B, 2] fp64; a, s: [B, 1] fp64.
  virtual at::Tensor noise_of(const at::Tensor& x, const at::Tensor& a, const at::Tensor& s) const = 0;
  virtual at::Tensor log_density_of(const at::Tensor& x, const at::Tensor& a, const at::Tensor& s) const = 0;

 private:
  template <class Number>
  void noise_rows(const at::Tensor& x, const at::Tensor& timesteps, at::Tensor& eps) const;
  std::pair<at::Tensor, at::Tensor> coefficients(const at::Tensor& timesteps) const;  // a, s: [B, 1] fp64
  std::vector<double> a_, s_;                                                         // [T]
  at::Tensor a_table_, s_table_;                                                      // [T] fp64 on device_
  at::Device device_;
};

class GaussianMixture final : public ClosedFormPrior {
 public:
  // alpha_bar: [T]. At most 64 modes.
  GaussianMixture(MixtureModes modes, const std::vector<double>& alpha_bar, at::Device device = at::kCPU);
  at::Tensor sample(int64_t n, uint64_t seed) const override;
  const MixtureModes& modes() const { return modes_; }

 protected:
  void noise_row(const double* x, double a, double s, double* eps) const override;
  at::Tensor noise_of(const at::Tensor& x, const at::Tensor& a, const at::Tensor& s) const override;
  at::Tensor log_density_of(const at::Tensor& x, const at::Tensor& a, const at::Tensor& s) const override;

 private:
  at::Tensor mode_logits(const at::Tensor& x, const at::Tensor& a, const at::Tensor& variance) const;  // [B, K]
  MixtureModes modes_;
  std::vector<double> log_weights_;            // [K]
  at::Tensor means_table_, log_weight_table_;  // [K, 2], [K] fp64
};

// The log-ratio reward on a mixture: every mode k re-weighted by w_k.
//   r(x) = log(sum_k p_k w_k N_k(x) / sum_k p_k N_k(x)),   target p(x) e^r(x) / Z = sum_k p_k w_k N_k(x) / Z
// so for inverse temperature 1 the root value log Z, the target and every soft value are exact.
class MixtureReward {
 public:
  // mode_weights: w_k > 0, one a mode; empty: the paper's w_k = exp(1.5 k), k = 1 .. K.
  explicit MixtureReward(MixtureModes modes, std::vector<double> mode_weights = {});
  at::Tensor operator()(const at::Tensor& x) const;  // [B, 2] -> [B] in x's dtype; differentiable
  // log E[e^r(x_0) | x_t] for the prior's exact posterior, abar_t = alpha_bar. [B, 2] -> [B]
  at::Tensor soft_value(const at::Tensor& x, double alpha_bar) const;
  double root_value() const;                                 // log E_prior[e^r] = log sum_k p_k w_k
  std::vector<double> target_masses() const;                 // of each mode in the target
  at::Tensor sample_target(int64_t n, uint64_t seed) const;  // [n, 2] fp32, exact draws
  const MixtureModes& modes() const { return modes_; }

 private:
  MixtureModes modes_;
  std::vector<double> log_mode_weights_;
};

// Uniform on the eight squares of side 2 in [-4, 4]^2 where floor(x/2) + floor(y/2) is even.
class Checkerboard final : public ClosedFormPrior {
 public:
  explicit Checkerboard(const std::vector<double>& alpha_bar, at::Device device = at::kCPU);
  at::Tensor sample(int64_t n, uint64_t seed) const override;

 protected:
  void noise_row(const double* x, double a, double s, double* eps) const override;
  at::Tensor noise_of(const at::Tensor& x, const at::Tensor& a, const at::Tensor& s) const override;
  at::Tensor log_density_of(const at::Tensor& x, const at::Tensor& a, const at::Tensor& s) const override;

 private:
  at::Tensor edges_;        // [5] fp64: -4, -2, 0, 2, 4
  at::Tensor square_mask_;  // [4, 4] fp64: 0 on a filled square, -inf elsewhere
};

// r(x) = -|x|^2 / 2 on the checkerboard, for inverse temperature 1.
class CheckerboardReward {
 public:
  at::Tensor operator()(const at::Tensor& x) const;  // [B, 2] -> [B] in x's dtype; differentiable
  double root_value() const;                         // log E_prior[e^r]
  // Mass of each of the eight squares in the target, squares ordered by (column, row) from the lower left.
  std::vector<double> target_masses() const;
  at::Tensor sample_target(int64_t n, uint64_t seed) const;  // [n, 2] fp32, exact draws
};

// Lower left corners of the eight squares, ordered by (column, row).
const std::array<Point2, 8>& checkerboard_squares();

}  // namespace linden
