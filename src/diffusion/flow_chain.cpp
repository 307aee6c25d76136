#include "diffusion/flow_chain.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "ops/philox_normal.h"

namespace linden {

at::Tensor sample_flow(const FlowSampler& sampler, const VelocityFunction& velocity, const std::vector<int64_t>& shape, uint64_t seed,
                       std::span<const int64_t> indices, at::Device device, const std::function<void(int64_t)>& after_step) {
  const at::NoGradGuard no_grad;
  const int64_t levels = sampler.num_steps();
  const at::Tensor index = at::tensor(at::ArrayRef<int64_t>(indices.data(), indices.size()), at::kLong).to(device);
  at::Tensor x = philox_normal(seed, Purpose::kInitialState, index, at::full_like(index, levels), shape);
  FlowHistory history;
  for (int64_t i = 0; i < levels; ++i) {
    const at::Tensor timestep = at::full({x.size(0)}, sampler.schedule().timestep[static_cast<size_t>(i)], x.options());
    at::Tensor noise;
    if (sampler.stochastic()) noise = philox_normal(seed, Purpose::kTransition, index, at::full_like(index, levels - i), shape);
    FlowStep step = sampler.step(history, x, velocity(x, timestep), noise);
    x = std::move(step.next);
    history = std::move(step.history);
    if (after_step) after_step(i + 1);
  }
  return x;
}

}  // namespace linden
