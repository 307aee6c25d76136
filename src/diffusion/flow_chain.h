// A flow model sampled from noise to data: any of flow_sampler.h's, on a batch whose rows go in step.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "diffusion/flow_sampler.h"

namespace linden {

// x: [B, ...] fp32; timestep: [B] fp32 -> the velocity, as x.
using VelocityFunction = std::function<at::Tensor(const at::Tensor& x, const at::Tensor& timestep)>;

// The finished samples of streams (seed, indices), [B, ...shape] fp32 on `device`. Sample i does not depend on its batch but
// for rounding, and is that of Executor over a FlowDenoiser where there is one. `after_step` is called with the steps done;
// it may throw to stop.
at::Tensor sample_flow(const FlowSampler& sampler, const VelocityFunction& velocity, const std::vector<int64_t>& shape, uint64_t seed,
                       std::span<const int64_t> indices, at::Device device, const std::function<void(int64_t)>& after_step = {});

}  // namespace linden
