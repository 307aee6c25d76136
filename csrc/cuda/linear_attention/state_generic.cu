// S and z: sums over tokens of phi(x)^T y and phi(x). One block of threads a stretch of tokens and block of features.
#include "csrc/cuda/linear_attention/block.cuh"
#include "csrc/cuda/linear_attention/instantiate.cuh"
#include "csrc/cuda/linear_attention/launch.h"

namespace linden::cuda {
namespace linear_attention {
namespace {

template <class Engine, class T, int kWidth>
__global__ __launch_bounds__(kThreads) void state_kernel(const __grid_constant__ StateParams p, int stages) {
  using Element = typename Engine::Element;
  constexpr int kRowGroups = 2 * kThreads / kWidth;  // threads that share a pair of columns
  const LinearAttentionShape& shape = p.shape;
  Memory<Engine, kWidth> memory(dynamic_shared_memory(), shape, Use::kState, stages);
  const Stretch s = this_stretch(shape, Engine::kTokens);
  const int block = blockIdx.y, row0 = threadIdx.x / 32 * Engine::kWarpRows, head_dim = shape.head_dim;
  const T* const x = rows_of<const T>(p.x, s);
  const T* const y = rows_of<const T>(p.y, s);
  load_constants(memory, shape, s, p.w, p.shift);
  const FeatureContext context = feature_context(memory, shape, p.queries);

  typename Engine::Outer sum = {};
  float column_sum[2] = {};  // this thread's two columns, over its share of every tile's rows
  float exact_sum = 0;       // of feature threadIdx.x % kWidth
  const auto load = [&](int first, int stage) {
    load_rows<T, Element, kWidth>(memory.x_at(stage), x, p.x.token_stride, first, Engine::kTokens, s.end, head_dim);
    load_rows<T, Element, kWidth>(memory.y_at(stage), y, p.y.token_stride, first, Engine::kTokens, s.end, head_dim);
  };
  for_each_tile(s, Engine::kTokens, stages, load, [&](int first, int stage) {
    const Tile<Element> tile_x = memory.x_at(stage);
    float values[Engine::kRows][Engine::kColumns];
    project<Engine, kWidth>(context, tile_x, row0, memory.w, memory.u, values);
    features<Engine, kWidth>(context, values, block, row0);
#pragma unroll
    for (int i = 0; i < Engine::kRows; ++i) {
      const int token = first + row0 + Engine::row(i);
      const bool valid = token < s.end;
      float scale = 1;
      if (p.token_scale) {
        const float* const pair = p.token_scale + (static_cast<int64_t>(s.head_row) * shape.tokens + token) * 2;
        if (valid) scale = pair[0];
        if (Engine::leads_row()) memory.weights[row0 + Engine::row(i)] = valid ? pair[1] / scale : 0.f;
      }
#pragma unroll
      for (int j = 0; j < Engine::kColumns; ++j) values[i][j] = valid ? values[i][j] * scale : 0.f;
    }
    typename Engine::Rows phi;
    Engine::set_rows(phi, values);
    __syncwarp();
    Engine::store(tile_x, row0, phi);  // over its own rows of x
    __syncthreads();
    Engine::add_outer(sum, tile_x, memory.y_at(stage));
    // z, of the features as they are rounded for S: numerator and denominator agree
    const int column = 2 * (threadIdx.x % (kWidth / 2));
    for (int row = threadIdx.x / (kWidth / 2); row < Engine::kTokens; row += kRowGroups) {
      const Vector<Element, 2> pair = linden::cuda::load<Element, 2>(&tile_x.at(row, column));
      const float weight = p.token_scale ? memory.weights[row] : 1.f;
      column_sum[0] += to_float(pair.element[0]) * weight;
      column_sum[1] += to_float(pair.element[1]) * weight;
    }
    if (p.partial_exact_sum)
      for (int row = threadIdx.x / kWidth; row < min(Engine::kTokens, s.end - first); row += kThreads / kWidth)
        exact_sum += taylor_feature<Engine>(context, row, block * kWidth + threadIdx.x % kWidth);
  });

  const auto feature = [&](int f) { return feature_of(shape.map, shape.feature_dim, head_dim, kWidth, block * kWidth + f); };
  const int64_t part = static_cast<int64_t>(s.stretch) * shape.batch * shape.heads + s.head_row;
  float* const state = p.partial_state + part * shape.feature_dim * head_dim;
  Engine::for_each(sum, [&](int f, int d, float value) {
    const int r = feature(f);
    if (r >= 0 && d < head_dim) state[r * head_dim + d] = value;
  });
  float* const group_sums = reinterpret_cast<float*>(memory.x.data);  // [kRowGroups, kWidth]
  __syncthreads();
  store<float, 2>(group_sums + 2 * threadIdx.x, {column_sum[0], column_sum[1]});
  __syncthreads();
  for (int f = threadIdx.x; f < kWidth; f += kThreads) {
    float total = 0;
    for (int group = 0; group < kRowGroups; ++group) total += group_sums[group * kWidth + f];
    if (feature(f) >= 0) p.partial_sum[part * shape.feature_dim + feature(f)] = total;
  }
  if (!p.partial_exact_sum) return;
  __syncthreads();
  group_sums[threadIdx.x] = exact_sum;
  __syncthreads();
  for (int f = threadIdx.x; f < kWidth; f += kThreads) {
    float total = 0;
    for (int other = f; other < kThreads; other += kWidth) total += group_sums[other];
    if (feature(f) >= 0) p.partial_exact_sum[part * shape.feature_dim + feature(f)] = total;
  }
}

struct LaunchState {
  const StateParams& p;
  template <class Engine, class T, int kWidth>
  cudaError_t run() const {
    const LinearAttentionShape& shape = p.shape;
    const dim3 grid(shape.batch * shape.heads * shape.splits, feature_blocks(shape.map, shape.feature_dim, kWidth));
    return launch_with_memory<Engine, kWidth>(state_kernel<Engine, T, kWidth>, grid, Use::kState, p);
  }
};

}  // namespace
}  // namespace linear_attention

cudaError_t launch_state(const StateParams& params) { return linear_attention::instantiate(params.shape, linear_attention::LaunchState{params}); }

}  // namespace linden::cuda
