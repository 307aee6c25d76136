// What the forward and the backward kernel share: the vectors of a sample, and the choice of types.
#pragma once

#include "csrc/cuda/adaptive_layer_norm/config.h"
#include "csrc/cuda/row.cuh"

namespace linden::cuda {

// Eight fp32 values; absent (null): `fallback`.
__device__ inline void load_eight_or(const float* from, int64_t at, float fallback, float (&value)[kRowVector]) {
  load_eight_as_float(from, FloatType::kFloat32, at, fallback, value);
}

// weight (1 + scale): what the standardised row is multiplied by.
__device__ inline void load_slope(const float* weight, const float* scale, int64_t scale_at, int column, float (&slope)[kRowVector]) {
  float s[kRowVector];
  load_eight_or(weight, column, 1.0f, slope);
  load_eight_or(scale, scale_at, 0.0f, s);
#pragma unroll
  for (int j = 0; j < kRowVector; ++j) slope[j] *= 1.0f + s[j];
}

// Calls run.template operator()<Residual, Branch>() for the pair of types.
template <class Run>
cudaError_t with_types(FloatType residual, FloatType branch, Run&& run) {
  if (residual == FloatType::kFloat32) {
    switch (branch) {
      case FloatType::kFloat32: return run.template operator()<float, float>();
      case FloatType::kBFloat16: return run.template operator()<float, __nv_bfloat16>();
      case FloatType::kFloat16: return run.template operator()<float, __half>();
    }
  }
  if (residual != branch) return cudaErrorInvalidValue;
  return residual == FloatType::kBFloat16 ? run.template operator()<__nv_bfloat16, __nv_bfloat16>() : run.template operator()<__half, __half>();
}

inline bool takes_shape(int64_t batch, int64_t tokens, int width) {
  return batch <= 65535 && tokens <= 2147483647 && width > 0 && width % kRowVector == 0 && width <= kMaxAdaptiveWidth;
}

}  // namespace linden::cuda
