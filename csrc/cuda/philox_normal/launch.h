// Standard normals by (seed, purpose, index, step) on the GPU. See README.md.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace linden::cuda {

struct PhiloxNormalParams {
  float* out;              // [B, E]
  const int64_t* indices;  // [B] stream index of each row
  const int64_t* steps;    // [B] step of each row
  uint64_t key;            // stream_key(seed, purpose)
  int64_t num_rows;        // B
  int64_t row_size;        // E
  cudaStream_t stream;
};

// Fills out. Capturable in a CUDA graph: indices and steps are read when it runs.
cudaError_t launch_philox_normal(const PhiloxNormalParams& params);

}  // namespace linden::cuda
