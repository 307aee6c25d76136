// A flow model as a Denoiser: the Markov chain of the Euler sampler or of flow_sde (flow_sampler.h), every row at its own
// level. Level l is step S - l. UniPC and DPM++ 2M remember earlier steps and are no such chains: flow_chain.h runs them.
#pragma once

#include <cstdint>
#include <memory>

#include "diffusion/denoiser.h"
#include "diffusion/flow_chain.h"

namespace linden {

struct FlowNetwork {
  VelocityFunction velocity;   // differentiable in x
  std::vector<int64_t> shape;  // of one sample
  at::Device device = at::kCPU;
  int64_t network_calls = 1;  // in one call of velocity: 2 under guidance
};

// Throws InputError for unipc and dpmpp_2m.
std::shared_ptr<Denoiser> make_flow_denoiser(FlowNetwork network, const FlowSamplerConfig& config);

}  // namespace linden
