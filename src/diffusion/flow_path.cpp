#include "diffusion/flow_path.h"

#include <ATen/ATen.h>

#include <vector>

#include "core/error.h"

namespace linden {
namespace {

at::Tensor rows(const at::Tensor& sigma, const at::Tensor& x) {  // [B] -> [B, 1, ...]
  check(x.dim() >= 1 && sigma.dim() == 1 && sigma.size(0) == x.size(0),
        "flow path: sigma has {} values in {} dimensions, wanted one value a row of the {} rows", sigma.numel(), sigma.dim(), x.dim() >= 1 ? x.size(0) : 0);
  std::vector<int64_t> shape(static_cast<size_t>(x.dim()), 1);
  shape[0] = x.size(0);
  return sigma.to(x.scalar_type()).view(shape);
}

void check_pair(const at::Tensor& left, const at::Tensor& right, const char* names) {
  check(left.sizes() == right.sizes(), "flow path: {} differ in shape ({} and {} elements)", names, left.numel(), right.numel());
}

}  // namespace

at::Tensor flow_interpolate(const at::Tensor& clean, const at::Tensor& noise, const at::Tensor& sigma) {
  check_pair(clean, noise, "clean and noise");
  const at::Tensor s = rows(sigma, clean);
  return (1.0 - s) * clean + s * noise;
}

at::Tensor flow_velocity(const at::Tensor& clean, const at::Tensor& noise) {
  check_pair(clean, noise, "clean and noise");
  return noise - clean;
}

at::Tensor flow_clean(const at::Tensor& x, const at::Tensor& velocity, const at::Tensor& sigma) {
  check_pair(x, velocity, "x and velocity");
  return x - rows(sigma, x) * velocity;
}

at::Tensor flow_noise(const at::Tensor& x, const at::Tensor& velocity, const at::Tensor& sigma) {
  check_pair(x, velocity, "x and velocity");
  return x + (1.0 - rows(sigma, x)) * velocity;
}

double shift_sigma(double sigma, double shift) {
  check(shift > 0, "flow path: shift is {}, wanted a number above 0", shift);
  return shift * sigma / (1.0 + (shift - 1.0) * sigma);
}

}  // namespace linden
