// The CUDA-graph executor: one captured step per batch bucket.
#pragma once

#include <memory>
#include <span>

#include "diffusion/executor.h"

namespace linden {

// nullptr where the build has no CUDA.
std::unique_ptr<Executor> make_graph_executor(std::shared_ptr<const Denoiser> denoiser, uint64_t seed, int64_t max_batch);

// States at level S, used by both executors.
at::Tensor initial_states(const Denoiser& denoiser, uint64_t seed, std::span<const int64_t> indices);

}  // namespace linden
