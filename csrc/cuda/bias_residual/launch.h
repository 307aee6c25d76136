// x + bias + residual for channels_last images, in place. See README.md.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "csrc/cuda/float_type.h"

namespace linden::cuda {

struct BiasResidualParams {
  void* x;               // [B, P, C], replaced by the sum
  const void* bias;      // [C]
  const void* residual;  // [B, P, C]; null: none
  int64_t elements;      // B P C
  int channels;          // C
  FloatType type;
  cudaStream_t stream;
};

cudaError_t launch_bias_residual(const BiasResidualParams& params);

}  // namespace linden::cuda
