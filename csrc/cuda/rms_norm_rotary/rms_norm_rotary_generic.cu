// Forward: y = rotate(x w / sqrt(mean(x^2) + eps)). A block visits rows in turn, with the weight in registers and the next
// row on its way while it sums the present one.
#include "csrc/cuda/rms_norm_rotary/device.cuh"
#include "csrc/cuda/rms_norm_rotary/launch.h"
#include "csrc/cuda/device.cuh"

namespace linden::cuda {
namespace {

template <class T>
__global__ void __launch_bounds__(kMaxRowThreads) forward_kernel(RmsNormRotaryParams p) {
  __shared__ float slots[2][1][kMaxRowThreads / 32];
  const unsigned rows = static_cast<unsigned>(p.batch * p.tokens), tokens = static_cast<unsigned>(p.tokens);
  const T* x = static_cast<const T*>(p.x);
  T* out = static_cast<T*>(p.out);
  const auto load_row = [&](unsigned row, Eight<T>(&held)[kVectorsPerThread]) {
    const T* from = x + row / tokens * p.x_batch_stride + row % tokens * p.x_token_stride;
#pragma unroll
    for (int i = 0; i < kVectorsPerThread; ++i)
      if (column_of(i) < p.width) held[i] = load_eight(from + column_of(i));
  };

  Eight<T> now[kVectorsPerThread] = {}, next[kVectorsPerThread] = {};
  load_row(blockIdx.x, next);
  float weight[kVectorsPerThread][kRowVector];
  int pair[kVectorsPerThread];  // of the vector's first element, within its head
#pragma unroll
  for (int i = 0; i < kVectorsPerThread; ++i) {
    pair[i] = column_of(i) % p.head_dim / 2;
    if (column_of(i) < p.width) load_eight_as_float(p.weight, p.weight_type, column_of(i), 1.0f, weight[i]);
  }
  int turn = 0;
  for (unsigned row = blockIdx.x; row < rows; row += gridDim.x, turn ^= 1) {
    float square[1] = {0};
#pragma unroll
    for (int i = 0; i < kVectorsPerThread; ++i) {
      now[i] = next[i];
#pragma unroll
      for (int j = 0; j < kRowVector; ++j) square[0] += now[i][j] * now[i][j];
      forget(now[i]);
    }
    if (row + gridDim.x < rows) load_row(row + gridDim.x, next);
    sum_over_block(square, slots[turn]);
    const float rstd = rsqrtf(square[0] / p.width + p.eps);
    const int64_t angles = static_cast<int64_t>(row % tokens) * (p.head_dim / 2);
#pragma unroll
    for (int i = 0; i < kVectorsPerThread; ++i) {
      if (column_of(i) >= p.width) continue;
      float y[kRowVector];
#pragma unroll
      for (int j = 0; j < kRowVector; ++j) y[j] = now[i][j] * rstd * weight[i][j];
      if (p.cos) rotate(y, p.cos + angles + pair[i], p.sin + angles + pair[i], 1.0f);
      store_eight(out + static_cast<int64_t>(row) * p.width + column_of(i), y);
    }
  }
}

template <class T>
cudaError_t launch(const RmsNormRotaryParams& p) {
  const int64_t blocks = row_blocks(p.batch * p.tokens, p.width, rms_norm_forward_threads(sizeof(T)));
  return launch_kernel(forward_kernel<T>, static_cast<unsigned>(blocks), row_threads(p.width), 0, p.stream, p);
}

}  // namespace

cudaError_t launch_rms_norm_rotary(const RmsNormRotaryParams& params) {
  if (params.batch * params.tokens == 0) return cudaSuccess;
  if (params.width <= 0 || params.width % kRowVector != 0 || params.width > kMaxRowWidth || params.batch * params.tokens > 2147483647)
    return cudaErrorInvalidValue;
  switch (params.type) {
    case FloatType::kFloat32: return launch<float>(params);
    case FloatType::kBFloat16: return launch<__nv_bfloat16>(params);
    case FloatType::kFloat16: return launch<__half>(params);
  }
  return cudaErrorInvalidValue;
}

}  // namespace linden::cuda
