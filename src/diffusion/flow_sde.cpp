#include "diffusion/flow_sde.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace linden {

FlowNoiseSplit split_flow_noise(const FlowSdeConfig& config, double sigma, double sigma_next) {
  check(sigma_next >= 0 && sigma_next < sigma && sigma <= 1, "flow_sde: the step goes from sigma {} to {}, wanted 0 <= next < sigma <= 1", sigma, sigma_next);
  FlowNoiseSplit split;
  split.deviation = config.eta * sigma_next;
  if (config.noise == "ancestral") {
    const double kept_share = (1.0 - sigma) * sigma_next / ((1.0 - sigma_next) * sigma);
    split.deviation *= std::sqrt(1.0 - kept_share * kept_share);
  }
  split.kept = std::sqrt(std::max(0.0, sigma_next * sigma_next - split.deviation * split.deviation));
  return split;
}

at::Tensor flow_sde_mean(const FlowNoiseSplit& split, float sigma, float sigma_next, const at::Tensor& x, const at::Tensor& velocity) {
  // (1 - sigma') x0^ + sigma' eps^ is the Euler step; taking off what is not kept leaves eta = 0 exact.
  const at::Tensor euler = x + (sigma_next - sigma) * velocity;
  if (split.deviation == 0) return euler;
  return euler - (sigma_next - split.kept) * (x + (1.0f - sigma) * velocity);
}

void check_flow_sde(const FlowSdeConfig& config) {
  check(config.eta >= 0 && config.eta <= 1, "flow_sde: eta is {}, wanted 0..1", config.eta);
  check(config.noise == "renoise" || config.noise == "ancestral", "flow_sde: noise is '{}', wanted 'renoise' or 'ancestral'", config.noise);
}

}  // namespace linden
