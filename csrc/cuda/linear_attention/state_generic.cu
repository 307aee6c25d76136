// S and z: sums over tokens of phi(x)^T y and phi(x). One block of threads a stretch of tokens and block of features; one half of it makes
// features, the other multiplies them.
#include "csrc/cuda/linear_attention/block.cuh"
#include "csrc/cuda/linear_attention/instantiate.cuh"
#include "csrc/cuda/linear_attention/launch.h"

namespace linden::cuda {
namespace linear_attention {
namespace {

// The half of the block that makes features, of tile after tile, over its rows of x. A warp copies its own rows, so that nothing but the
// barrier at a tile's end is shared.
template <class Engine, class T, int kWidth, bool kProjects>
struct FeatureHalf {
  using Element = typename Engine::Element;
  const StateParams& p;
  const Memory<Engine, kWidth>& memory;
  const Stretch& s;
  const FeatureContext context;
  const T *x, *y;
  int block, row0;
  float exact_sum[kWidth / 32] = {};  // taylor2: of features lane, lane + 32, ... of the block, over the warp's rows

  __device__ FeatureHalf(const StateParams& params, const Memory<Engine, kWidth>& of_block, const Stretch& stretch, int feature_block)
      : p(params),
        memory(of_block),
        s(stretch),
        context(feature_context(of_block, params.shape, params.queries)),
        x(rows_of<const T>(params.x, stretch)),
        y(rows_of<const T>(params.y, stretch)),
        block(feature_block),
        row0(threadIdx.x / 32 * Engine::kWarpRows) {}

  __device__ void load(int first, int stage) const {
    load_warp_rows<T, Element, kWidth>(memory.x_at(stage), row0, Engine::kWarpRows, x, p.x.token_stride, first, s.end, context.head_dim);
    load_warp_rows<T, Element, kWidth>(memory.y_at(stage), row0, Engine::kWarpRows, y, p.y.token_stride, first, s.end, context.head_dim);
    commit_copies();
  }
  __device__ void run(int first, int stage) {
    const Tile<Element> tile = memory.x_at(stage);
    float values[Engine::kRows][Engine::kColumns];
    project<Engine, kWidth, kProjects>(context, tile, row0, memory.w, memory.u, values);
    features<Engine, kWidth, kProjects>(context, values, block, row0);
#pragma unroll
    for (int i = 0; i < Engine::kRows; ++i) {
      const int token = first + row0 + Engine::row(i);
      const bool valid = token < s.end;
      float scale = 1;
      if (p.token_scale) {
        Vector<float, 2> pair = {1, 0};
        if (valid) pair = linden::cuda::load<float, 2>(p.token_scale + (static_cast<int64_t>(s.head_row) * p.shape.tokens + token) * 2);
        scale = pair.element[0];
        if (Engine::leads_row()) memory.weights[stage * Engine::kTokens + row0 + Engine::row(i)] = pair.element[1] / scale;
      }
#pragma unroll
      for (int j = 0; j < Engine::kColumns; ++j) values[i][j] = valid ? values[i][j] * scale : 0.f;
    }
    typename Engine::Rows phi;
    Engine::set_rows(phi, values);
    if (kProjects && p.partial_exact_sum)
      for (int row = row0; row < min(row0 + Engine::kWarpRows, s.end - first); ++row)
#pragma unroll
        for (int n = 0; n < kWidth / 32; ++n) exact_sum[n] += taylor_feature<Engine>(context, row, block * kWidth + 32 * n + Engine::lane());
    __syncwarp();
    Engine::store(tile, row0, phi);  // over its own rows of x
  }
};

// out[f] for the block's features: the sum of `rows` rows of `values` [rows, kWidth], by kThreads threads.
template <int kWidth, class Feature>
__device__ void write_column_sums(float* out, const float* values, int rows, int thread, const Feature& feature) {
  for (int f = thread; f < kWidth; f += kThreads) {
    float total = 0;
    for (int row = 0; row < rows; ++row) total += values[row * kWidth + f];
    if (feature(f) >= 0) out[feature(f)] = total;
  }
}

// Step t: one half makes the features of tile t, the other adds the products of tile t - 1. With three stages the copies of tile t + 1 are
// on their way meanwhile; with one stage the halves take turns.
template <class Engine, class T, int kWidth, bool kProjects>
__global__ __launch_bounds__(kStateThreads) void state_kernel(const __grid_constant__ StateParams p, int stages) {
  const LinearAttentionShape& shape = p.shape;
  const Memory<Engine, kWidth> memory(dynamic_shared_memory(), shape, Use::kState, stages);
  using Element = typename Engine::Element;
  const int blocks = feature_blocks(shape.map, shape.feature_dim, kWidth);  // of one stretch side by side: they read the same tokens
  const Stretch s = this_stretch(shape, Engine::kTokens, blockIdx.x / blocks);
  const int block = blockIdx.x % blocks, head_dim = shape.head_dim, lag = stages > 1 ? 1 : 0;
  const int tiles = max(0, min(s.last_tile, (s.end + Engine::kTokens - 1) / Engine::kTokens) - s.first_tile);
  const auto token = [&](int tile) { return (s.first_tile + tile) * Engine::kTokens; };
  const auto feature = [&](int f) { return feature_of(shape.map, shape.feature_dim, head_dim, kWidth, block * kWidth + f); };
  const int64_t part = static_cast<int64_t>(s.stretch) * shape.batch * shape.heads + s.head_row;
  load_constants(memory, shape, s, p.w, p.shift);
  __syncthreads();
  constexpr int kRowGroups = 2 * kThreads / kWidth;             // threads that share a pair of columns of z
  float* const sums = reinterpret_cast<float*>(memory.x.data);  // in the end: [kRowGroups, kWidth] of z, then [kWarps, kWidth] of taylor2's
  float* const exact_sums = sums + kRowGroups * kWidth;

  if (threadIdx.x < kThreads) {
    FeatureHalf<Engine, T, kWidth, kProjects> half(p, memory, s, block);
    const int ahead = stages == 3 ? 1 : 0;  // tiles between a copy's start and its use
    for (int t = -ahead, next = 0, stage = stages - 1; t < tiles + lag; ++t) {
      if (t + ahead < tiles) half.load(token(t + ahead), next);
      next = next + 1 < stages ? next + 1 : 0;
      if (t < 0) continue;
      stage = stage + 1 < stages ? stage + 1 : 0;
      if (t < tiles) {
        if (ahead == 1 && t + 1 < tiles) finish_copies_but_last();
        else finish_copies();
        __syncwarp();
        half.run(token(t), stage);
      }
      sync_from_anywhere();
      if (lag == 0) sync_from_anywhere();
    }
    if (kProjects && p.partial_exact_sum)
#pragma unroll
      for (int n = 0; n < kWidth / 32; ++n) exact_sums[threadIdx.x / 32 * kWidth + 32 * n + Engine::lane()] = half.exact_sum[n];
    sync_from_anywhere();
    write_column_sums<kWidth>(p.partial_sum + part * shape.feature_dim, sums, kRowGroups, threadIdx.x, feature);
    if (kProjects && p.partial_exact_sum) write_column_sums<kWidth>(p.partial_exact_sum + part * shape.feature_dim, exact_sums, kWarps, threadIdx.x, feature);
  } else {
    const int thread = threadIdx.x - kThreads;
    const int column = 2 * (thread % (kWidth / 2));
    typename Engine::Outer sum = {};
    float column_sum[2] = {};  // this thread's two columns, over its share of every tile's rows
    for (int t = 0, stage = stages - 1; t < tiles + lag; ++t) {
      if (lag == 0) sync_from_anywhere();
      if (t >= lag) {
        stage = stage + 1 < stages ? stage + 1 : 0;
        const Tile<Element> phi = memory.x_at(stage);
        Engine::add_outer(sum, phi, memory.y_at(stage), thread);
        // z, of the features as they are rounded for S: numerator and denominator agree
#pragma unroll 8
        for (int row = thread / (kWidth / 2); row < Engine::kTokens; row += kRowGroups) {
          const Vector<Element, 2> pair = linden::cuda::load<Element, 2>(&phi.at(row, column));
          const float weight = p.token_scale ? memory.weights[stage * Engine::kTokens + row] : 1.f;
          column_sum[0] += to_float(pair.element[0]) * weight;
          column_sum[1] += to_float(pair.element[1]) * weight;
        }
      }
      sync_from_anywhere();
    }
    store<float, 2>(sums + 2 * thread, {column_sum[0], column_sum[1]});
    sync_from_anywhere();
    float* const state = p.partial_state + part * shape.feature_dim * head_dim;
    Engine::for_each(
        sum,
        [&](int f, int d, float value) {
          const int r = feature(f);
          if (r >= 0 && d < head_dim) state[r * head_dim + d] = value;
        },
        thread);
  }
}

struct LaunchState {
  const StateParams& p;
  template <class Engine, class T, int kWidth>
  cudaError_t run() const {
    const LinearAttentionShape& shape = p.shape;
    const dim3 grid(shape.batch * shape.heads * shape.splits * feature_blocks(shape.map, shape.feature_dim, kWidth));
    const auto kernel = shape.projected_dim > 0 ? state_kernel<Engine, T, kWidth, true> : state_kernel<Engine, T, kWidth, false>;
    return launch_with_memory<Engine, kWidth>(kernel, grid, kStateThreads, Use::kState, p);
  }
};

}  // namespace
}  // namespace linear_attention

cudaError_t launch_state(const StateParams& params) { return linear_attention::instantiate(params.shape, linear_attention::LaunchState{params}); }

}  // namespace linden::cuda
