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
    default:
      return wide ? launch.template run<FloatEngine<kWide>, float, kWide>() : launch.template run<FloatEngine<kNarrow>, float, kNarrow>();
  }
}

inline size_t shared_memory_limit() {
  int device = 0, bytes = 0;
  cudaGetDevice(&device);
  cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
  return static_cast<size_t>(bytes);
}

// kernel(params, stages): two stages (the next tile is loaded while one is worked on) where shared memory allows it.
template <class Engine, int kWidth, class Params>
cudaError_t launch_with_memory(void (*kernel)(Params, int), dim3 grid, Use use, const Params& params) {
  const auto bytes = [&](int stages) { return Memory<Engine, kWidth>(nullptr, params.shape, use, stages).bytes; };
  const int stages = bytes(2) <= shared_memory_limit() ? 2 : 1;
  const cudaError_t status = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes(stages)));
  if (status != cudaSuccess) return status;
  return launch_kernel(kernel, grid, kThreads, bytes(stages), params.shape.stream, params, stages);
}

}  // namespace linden::cuda::linear_attention
