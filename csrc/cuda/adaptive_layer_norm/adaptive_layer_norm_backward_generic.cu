// Backward. With xh = (x - mean) rstd, slope = weight (1 + scale), g = dy slope:
//   dx = dx0 + rstd (g - mean_M(g) - xh mean_M(g xh)),  dresidual = dx,  dbranch = gate dx.
// Of the rows of one block it also sums, by column, dy, dy xh and dx branch: the gradients of gate, scale, shift, weight and
// bias are sums and products of these (README.md). A thread holds the same columns of every row, so they stay in its registers.
#include "csrc/cuda/adaptive_layer_norm/device.cuh"
#include "csrc/cuda/adaptive_layer_norm/launch.h"
#include "csrc/cuda/device.cuh"

namespace linden::cuda {
namespace {

template <class R, class T>
__global__ void __launch_bounds__(kMaxAdaptiveThreads) backward_kernel(AdaptiveLayerNormBackwardParams p) {
  __shared__ float slots[2][2][kMaxRowThreads / 32];
  const int64_t sample = blockIdx.y;
  float gate[kVectorsPerThread][kRowVector], slope[kVectorsPerThread][kRowVector];
  float sum_y[kVectorsPerThread][kRowVector] = {}, sum_y_normed[kVectorsPerThread][kRowVector] = {}, sum_x_branch[kVectorsPerThread][kRowVector] = {};
#pragma unroll
  for (int i = 0; i < kVectorsPerThread; ++i) {
    if (column_of(i) >= p.width) continue;
    load_eight_or(p.gate, sample * p.gate_stride + column_of(i), 1.0f, gate[i]);
    load_slope(p.weight, p.scale, sample * p.scale_stride + column_of(i), column_of(i), slope[i]);
  }
  int turn = 0;
  for (int64_t token = blockIdx.x; token < p.tokens; token += gridDim.x, turn ^= 1) {
    const int64_t row = sample * p.tokens + token, start = row * p.width;
    Eight<R> x[kVectorsPerThread], grad_x[kVectorsPerThread] = {};
    Eight<T> grad_y[kVectorsPerThread], branch[kVectorsPerThread] = {};
#pragma unroll
    for (int i = 0; i < kVectorsPerThread; ++i) {
      if (column_of(i) >= p.width) continue;
      x[i] = load_eight(static_cast<const R*>(p.x) + start + column_of(i));
      grad_y[i] = load_eight(static_cast<const T*>(p.grad_y) + start + column_of(i));
      if (p.grad_x) grad_x[i] = load_eight(static_cast<const R*>(p.grad_x) + start + column_of(i));
      if (p.sum_grad_x_branch) branch[i] = load_eight(static_cast<const T*>(p.branch) + start + column_of(i));
    }
    const float mean = p.mean[row], rstd = p.rstd[row];
    float sums[2] = {};  // of g, of g xh
#pragma unroll
    for (int i = 0; i < kVectorsPerThread; ++i) {
      if (column_of(i) >= p.width) continue;
#pragma unroll
      for (int j = 0; j < kRowVector; ++j) {
        const float normed = (x[i][j] - mean) * rstd, dy = grad_y[i][j], g = dy * slope[i][j];
        sums[0] += g;
        sums[1] += g * normed;
        sum_y[i][j] += dy;
        sum_y_normed[i][j] += dy * normed;
      }
      forget(x[i]), forget(grad_y[i]), forget(grad_x[i]), forget(branch[i]);
    }
    sum_over_block(sums, slots[turn]);
    const float mean_g = sums[0] / p.width, mean_g_normed = sums[1] / p.width;
#pragma unroll
    for (int i = 0; i < kVectorsPerThread; ++i) {
      if (column_of(i) >= p.width) continue;
      float dx[kRowVector];
#pragma unroll
      for (int j = 0; j < kRowVector; ++j) {
        const float normed = (x[i][j] - mean) * rstd;
        dx[j] = grad_x[i][j] + rstd * (grad_y[i][j] * slope[i][j] - mean_g - normed * mean_g_normed);
        sum_x_branch[i][j] += dx[j] * branch[i][j];
      }
      if (p.grad_residual) store_eight(static_cast<R*>(p.grad_residual) + start + column_of(i), dx);
      if (!p.grad_branch) continue;
#pragma unroll
      for (int j = 0; j < kRowVector; ++j) dx[j] *= gate[i][j];
      store_eight(static_cast<T*>(p.grad_branch) + start + column_of(i), dx);
    }
  }
#pragma unroll
  for (int i = 0; i < kVectorsPerThread; ++i) {
    if (column_of(i) >= p.width) continue;
    const int64_t at = (sample * gridDim.x + blockIdx.x) * p.width + column_of(i);
    if (p.sum_grad_y) store_eight(p.sum_grad_y + at, sum_y[i]);
    if (p.sum_grad_y_normed) store_eight(p.sum_grad_y_normed + at, sum_y_normed[i]);
    if (p.sum_grad_x_branch) store_eight(p.sum_grad_x_branch + at, sum_x_branch[i]);
  }
}

}  // namespace

cudaError_t launch_adaptive_layer_norm_backward(const AdaptiveLayerNormBackwardParams& p) {
  if (p.batch * p.tokens == 0) return cudaSuccess;
  if (!takes_shape(p.batch, p.tokens, p.width)) return cudaErrorInvalidValue;
  const dim3 blocks(static_cast<unsigned>(adaptive_layer_norm_backward_blocks(p.batch, p.tokens, p.width)), static_cast<unsigned>(p.batch));
  return with_types(p.residual_type, p.branch_type,
                    [&]<class R, class T>() { return launch_kernel(backward_kernel<R, T>, blocks, row_threads(p.width), 0, p.stream, p); });
}

}  // namespace linden::cuda
