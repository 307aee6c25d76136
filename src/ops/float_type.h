// What the kernels want to know of a tensor: its dtype as they name it, where it lies and where it starts.
#pragma once

#ifdef LINDEN_HAS_CUDA
#include <ATen/core/Tensor.h>

#include <cstdint>

#include "csrc/cuda/float_type.h"

namespace linden {

inline bool is_kernel_float(at::ScalarType type) { return type == at::kFloat || type == at::kBFloat16 || type == at::kHalf; }

// Where kernels run. tests/cuda_emulator plays a card on the processor.
inline bool is_on_card(const at::Tensor& tensor) {
#ifdef LINDEN_CUDA_EMULATOR
  return tensor.is_cpu();
#else
  return tensor.is_cuda();
#endif
}

// Kernels load 16 bytes at a time.
inline bool is_vector_aligned(const at::Tensor& tensor) { return reinterpret_cast<uintptr_t>(tensor.const_data_ptr()) % 16 == 0; }

// For arguments that may be absent: fp32.
inline const float* floats_or_null(const at::Tensor& tensor) { return tensor.defined() ? tensor.const_data_ptr<float>() : nullptr; }

// `type` must be one that is_kernel_float() takes.
inline cuda::FloatType kernel_float(at::ScalarType type) {
  return type == at::kFloat ? cuda::FloatType::kFloat32 : type == at::kHalf ? cuda::FloatType::kFloat16 : cuda::FloatType::kBFloat16;
}

}  // namespace linden
#endif
