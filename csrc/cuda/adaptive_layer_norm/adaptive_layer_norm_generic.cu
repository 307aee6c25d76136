// Forward: x = residual + gate branch, rounded; y = (x - mean) rstd slope + offset, with slope = weight (1 + scale) and
// offset = bias (1 + scale) + shift. A block visits rows of one sample, so that gate, slope and offset stay in registers.
// The variance is summed around the mean, from the registers.
#include "csrc/cuda/adaptive_layer_norm/device.cuh"
#include "csrc/cuda/adaptive_layer_norm/launch.h"
#include "csrc/cuda/device.cuh"

namespace linden::cuda {
namespace {

template <class R, class T>
__global__ void __launch_bounds__(kMaxAdaptiveThreads, kAdaptiveForwardThreads / kMaxAdaptiveThreads) forward_kernel(AdaptiveLayerNormParams p) {
  __shared__ float mean_slots[1][kMaxRowThreads / 32], variance_slots[1][kMaxRowThreads / 32];
  const int64_t sample = blockIdx.y;
  float gate[kVectorsPerThread][kRowVector], slope[kVectorsPerThread][kRowVector], offset[kVectorsPerThread][kRowVector];
#pragma unroll
  for (int i = 0; i < kVectorsPerThread; ++i) {
    const int column = column_of(i);
    if (column >= p.width) continue;
    float scale[kRowVector], shift[kRowVector];
    load_eight_or(p.gate, sample * p.gate_stride + column, 1.0f, gate[i]);
    load_slope(p.weight, p.scale, sample * p.scale_stride + column, column, slope[i]);
    load_eight_or(p.scale, sample * p.scale_stride + column, 0.0f, scale);
    load_eight_or(p.shift, sample * p.shift_stride + column, 0.0f, shift);
    load_eight_or(p.bias, column, 0.0f, offset[i]);
#pragma unroll
    for (int j = 0; j < kRowVector; ++j) offset[i][j] = offset[i][j] * (1.0f + scale[j]) + shift[j];
  }
  for (int64_t token = blockIdx.x; token < p.tokens; token += gridDim.x) {
    const int64_t row = sample * p.tokens + token, start = row * p.width;
    Eight<R> residual[kVectorsPerThread];
    Eight<T> branch[kVectorsPerThread];
#pragma unroll
    for (int i = 0; i < kVectorsPerThread; ++i) {
      if (column_of(i) >= p.width) continue;
      residual[i] = load_eight(static_cast<const R*>(p.residual) + start + column_of(i));
      if (p.branch) branch[i] = load_eight(static_cast<const T*>(p.branch) + start + column_of(i));
    }
    float x[kVectorsPerThread][kRowVector], sum[1] = {0}, square[1] = {0};
#pragma unroll
    for (int i = 0; i < kVectorsPerThread; ++i) {
      if (column_of(i) >= p.width) continue;
#pragma unroll
      for (int j = 0; j < kRowVector; ++j) {
        x[i][j] = residual[i][j];
        if (p.branch) x[i][j] = to_float(from_float<R>(x[i][j] + branch[i][j] * gate[i][j]));
        sum[0] += x[i][j];
      }
      store_eight(static_cast<R*>(p.x) + start + column_of(i), x[i]);
    }
    sum_over_block(sum, mean_slots);
    const float mean = sum[0] / p.width;
#pragma unroll
    for (int i = 0; i < kVectorsPerThread; ++i) {
      if (column_of(i) >= p.width) continue;
#pragma unroll
      for (int j = 0; j < kRowVector; ++j) {
        x[i][j] -= mean;
        square[0] += x[i][j] * x[i][j];
      }
    }
    sum_over_block(square, variance_slots);
    const float rstd = rsqrtf(square[0] / p.width + p.eps);
    if (p.mean && threadIdx.x == 0) p.mean[row] = mean, p.rstd[row] = rstd;
#pragma unroll
    for (int i = 0; i < kVectorsPerThread; ++i) {
      if (column_of(i) >= p.width) continue;
      float y[kRowVector];
#pragma unroll
      for (int j = 0; j < kRowVector; ++j) y[j] = x[i][j] * rstd * slope[i][j] + offset[i][j];
      store_eight(static_cast<T*>(p.y) + start + column_of(i), y);
    }
  }
}

}  // namespace

cudaError_t launch_adaptive_layer_norm(const AdaptiveLayerNormParams& p) {
  if (p.batch * p.tokens == 0) return cudaSuccess;
  if (!takes_shape(p.batch, p.tokens, p.width)) return cudaErrorInvalidValue;
  const dim3 blocks(static_cast<unsigned>(adaptive_layer_norm_blocks(p.batch, p.tokens, p.width, kAdaptiveForwardThreads)), static_cast<unsigned>(p.batch));
  return with_types(p.residual_type, p.branch_type,
                    [&]<class R, class T>() { return launch_kernel(forward_kernel<R, T>, blocks, row_threads(p.width), 0, p.stream, p); });
}

}  // namespace linden::cuda
