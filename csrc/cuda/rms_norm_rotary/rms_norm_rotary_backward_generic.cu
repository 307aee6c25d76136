// Backward. With r = 1 / sqrt(mean(x^2) + eps), g = rotate back(dy):  dx = r w g - x r^3 mean(w g x),  dw = sum over rows of g x r.
// Both sums of a row come from one barrier. A thread holds the same columns of every row of its block, so the weight's
// gradient is summed in its registers and written once a block.
#include "csrc/cuda/rms_norm_rotary/device.cuh"
#include "csrc/cuda/rms_norm_rotary/launch.h"
#include "csrc/cuda/device.cuh"

namespace linden::cuda {
namespace {

template <class T>
__global__ void __launch_bounds__(kMaxRowThreads) backward_kernel(RmsNormRotaryBackwardParams p) {
  __shared__ float slots[2][2][kMaxRowThreads / 32];
  const unsigned rows = static_cast<unsigned>(p.batch * p.tokens), tokens = static_cast<unsigned>(p.tokens);
  const T* x = static_cast<const T*>(p.x);
  const T* grad_out = static_cast<const T*>(p.grad_out);
  T* grad_x = static_cast<T*>(p.grad_x);

  float weight[kVectorsPerThread][kRowVector], grad_weight[kVectorsPerThread][kRowVector] = {};
  int pair[kVectorsPerThread];
  int64_t grad_column[kVectorsPerThread];
#pragma unroll
  for (int i = 0; i < kVectorsPerThread; ++i) {
    pair[i] = column_of(i) % p.head_dim / 2;
    grad_column[i] = column_of(i) / p.head_dim * p.grad_head_stride + column_of(i) % p.head_dim;
    if (column_of(i) < p.width) load_eight_as_float(p.weight, p.weight_type, column_of(i), 1.0f, weight[i]);
  }
  int turn = 0;
  for (unsigned row = blockIdx.x; row < rows; row += gridDim.x, turn ^= 1) {
    const unsigned sample = row / tokens, token = row % tokens;
    const T* from = x + sample * p.x_batch_stride + token * p.x_token_stride;
    const T* grad_from = grad_out + sample * p.grad_batch_stride + token * p.grad_token_stride;
    Eight<T> held[kVectorsPerThread] = {};
    float g[kVectorsPerThread][kRowVector];
#pragma unroll
    for (int i = 0; i < kVectorsPerThread; ++i) {
      if (column_of(i) >= p.width) continue;
      held[i] = load_eight(from + column_of(i));
      const Eight<T> grad = load_eight(grad_from + grad_column[i]);
#pragma unroll
      for (int j = 0; j < kRowVector; ++j) g[i][j] = grad[j];
    }
    const int64_t angles = static_cast<int64_t>(token) * (p.head_dim / 2);
    float sums[2] = {};  // of x^2, of w g x
#pragma unroll
    for (int i = 0; i < kVectorsPerThread; ++i) {
      if (column_of(i) >= p.width) continue;
      if (p.cos) rotate(g[i], p.cos + angles + pair[i], p.sin + angles + pair[i], -1.0f);
#pragma unroll
      for (int j = 0; j < kRowVector; ++j) {
        sums[0] += held[i][j] * held[i][j];
        sums[1] += held[i][j] * (weight[i][j] * g[i][j]);
      }
      forget(held[i]);
    }
    sum_over_block(sums, slots[turn]);
    const float rstd = rsqrtf(sums[0] / p.width + p.eps), along = sums[1] / p.width * rstd * rstd;  // mean(w g x) r^2
#pragma unroll
    for (int i = 0; i < kVectorsPerThread; ++i) {
      if (column_of(i) >= p.width) continue;
      float grad[kRowVector];
#pragma unroll
      for (int j = 0; j < kRowVector; ++j) {
        grad[j] = rstd * (weight[i][j] * g[i][j] - held[i][j] * along);
        grad_weight[i][j] += g[i][j] * (held[i][j] * rstd);
      }
      if (grad_x) store_eight(grad_x + static_cast<int64_t>(row) * p.width + column_of(i), grad);
    }
  }
  if (!p.grad_weight_rows) return;
#pragma unroll
  for (int i = 0; i < kVectorsPerThread; ++i)
    if (column_of(i) < p.width) store_eight(p.grad_weight_rows + static_cast<int64_t>(blockIdx.x) * p.width + column_of(i), grad_weight[i]);
}

template <class T>
cudaError_t launch(const RmsNormRotaryBackwardParams& p) {
  const int64_t blocks = rms_norm_rotary_backward_blocks(p.batch * p.tokens, p.width);
  return launch_kernel(backward_kernel<T>, static_cast<unsigned>(blocks), row_threads(p.width), 0, p.stream, p);
}

}  // namespace

cudaError_t launch_rms_norm_rotary_backward(const RmsNormRotaryBackwardParams& params) {
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
