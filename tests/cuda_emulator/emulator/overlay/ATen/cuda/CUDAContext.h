// In place of LibTorch's: kernels run on tensors of the processor.
#pragma once

#include <cuda_runtime_api.h>

#include "core/error.h"

namespace at::cuda {
inline cudaStream_t getCurrentCUDAStream() { return nullptr; }
}  // namespace at::cuda

#define C10_CUDA_CHECK(call) ::linden::check((call) == cudaSuccess, "emulated kernel: not launched")
