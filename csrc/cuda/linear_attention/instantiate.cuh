// From run-time types and sizes to a kernel.
#pragma once

#include "csrc/cuda/linear_attention/block.cuh"

namespace linden::cuda::linear_attention {

// launch.run<Engine, T, kWidth>() for the shape's dtype and head dim.
template <class Launch>
auto instantiate(const LinearAttentionShape& shape, const Launch& launch) {
  const bool wide = tile_width(shape.head_dim) == kWide;
  switch (shape.type) {
    case FloatType::kBFloat16:
      return wide ? launch.template run<Bf16Engine<kWide>, __nv_bfloat16, kWide>() : launch.template run<Bf16Engine<kNarrow>, __nv_bfloat16, kNarrow>();
    case FloatType::kFloat16:
      return wide ? launch.template run<FloatEngine<kWide>, __half, kWide>() : launch.template run<FloatEngine<kNarrow>, __half, kNarrow>();
    default: return wide ? launch.template run<FloatEngine<kWide>, float, kWide>() : launch.template run<FloatEngine<kNarrow>, float, kNarrow>();
  }
}

inline int device_attribute(cudaDeviceAttr which) {
  int device = 0, value = 0;
  cudaGetDevice(&device);
  cudaDeviceGetAttribute(&value, which, device);
  return value;
}
inline size_t shared_memory_limit() { return static_cast<size_t>(device_attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin)); }

// Stages: tiles of x and y that a block holds at once. Resident: blocks that a multiprocessor holds, two of the query kernel where that is
// to be had with one stage at least; then as many stages as shared memory allows.
struct Footprint {
  int stages, resident;
  size_t bytes;
};
template <class Engine, int kWidth>
Footprint footprint(const LinearAttentionShape& shape, Use use) {
  constexpr size_t kReserved = 1024;  // of shared memory, by the system for every block
  const size_t of_multiprocessor = static_cast<size_t>(device_attribute(cudaDevAttrMaxSharedMemoryPerMultiprocessor));
  const auto bytes = [&](int stages) { return Memory<Engine, kWidth>(nullptr, shape, use, stages).bytes; };
  const auto fits = [&](int stages, int resident) {
    return bytes(stages) <= shared_memory_limit() && resident * (bytes(stages) + kReserved) <= of_multiprocessor;
  };
  const int wanted = use != Use::kQuery ? 1 : shape.projected_dim > 0 ? kQueryBlocks<Engine, true> : kQueryBlocks<Engine, false>;
  const int resident = fits(1, wanted) ? wanted : 1;
  int stages = most_stages(use);
  while (stages > 1 && !fits(stages, resident)) --stages;
  return {stages, resident, bytes(stages)};
}

// kernel(params, stages)
template <class Engine, int kWidth, class Params>
cudaError_t launch_with_memory(void (*kernel)(Params, int), dim3 grid, unsigned threads, Use use, const Params& params) {
  const Footprint memory = footprint<Engine, kWidth>(params.shape, use);
  // Always the card's limit: what one host thread sets must be enough for what another launches.
  const cudaError_t status = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_memory_limit()));
  if (status != cudaSuccess) return status;
  return launch_kernel(kernel, grid, threads, memory.bytes, params.shape.stream, params, memory.stages);
}

}  // namespace linden::cuda::linear_attention
