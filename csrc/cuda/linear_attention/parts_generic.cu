// What is small: the maximum of k for the exp map, the centre of S, sums of the stretches' parts, and how many stretches there are.
#include <algorithm>

#include "csrc/cuda/linear_attention/instantiate.cuh"
#include "csrc/cuda/linear_attention/launch.h"
#include "csrc/cuda/row.cuh"

namespace linden::cuda {
namespace linear_attention {
namespace {

constexpr int kCentreThreads = 1024;  // few blocks: their threads must hide the loads' latency

// 8 columns a thread, kThreads / (D / 8) rows at once.
template <class T>
__global__ __launch_bounds__(kThreads) void key_shift_kernel(const __grid_constant__ KeyShiftParams p) {
  __shared__ float largest[kThreads * 8];
  const LinearAttentionShape& shape = p.shape;
  const Stretch s = this_stretch(shape, 1);
  const int pieces = shape.head_dim / 8, rows = kThreads / pieces, piece = threadIdx.x % pieces, row = threadIdx.x / pieces;
  const T* const x = rows_of<const T>(p.x, s);
  float local[8];
  for (int e = 0; e < 8; ++e) local[e] = -INFINITY;
  if (row < rows)
    for (int token = s.first_tile + row; token < min(s.last_tile, s.end); token += rows) {
      const Eight<T> values = load_eight(x + token * p.x.token_stride + piece * 8);
      for (int e = 0; e < 8; ++e) local[e] = fmaxf(local[e], values[e]);
    }
  for (int e = 0; e < 8; ++e) largest[threadIdx.x * 8 + e] = local[e];
  __syncthreads();
  const int64_t part = static_cast<int64_t>(s.stretch) * shape.batch * shape.heads + s.head_row;
  for (int d = threadIdx.x; d < shape.head_dim; d += kThreads) {
    float total = -INFINITY;
    for (int r = 0; r < rows; ++r) total = fmaxf(total, largest[(r * pieces + d / 8) * 8 + d % 8]);
    p.partial[part * shape.head_dim + d] = total;
  }
}

__global__ void max_parts_kernel(const float* partial, float* out, int64_t elements, int parts) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= elements) return;
  float total = -INFINITY;
  for (int part = 0; part < parts; ++part) total = fmaxf(total, partial[part * elements + i]);
  out[i] = total;
}

// out[i] = sum over parts of partial[part, i].
__global__ void sum_parts_kernel(const float* partial, float* out, int64_t elements, int parts) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= elements) return;
  float total = 0;
  for (int part = 0; part < parts; ++part) total += partial[part * elements + i];
  out[i] = total;
}

// One block a head: `groups` threads share a column's rows. z and S are scaled by the largest z, so that squares and products stay in range.
__global__ __launch_bounds__(kCentreThreads) void centre_kernel(const __grid_constant__ CentreParams p) {
  __shared__ float largest[kCentreThreads], weighted[kCentreThreads], squares[kCentreThreads];
  const int R = p.shape.feature_dim, D = p.shape.head_dim, groups = kCentreThreads / D, column = threadIdx.x % D, group = threadIdx.x / D;
  float* const state = p.state + static_cast<int64_t>(blockIdx.x) * R * D;
  const float* const sum = p.sum + static_cast<int64_t>(blockIdx.x) * R;
  float local = 0;
  for (int r = threadIdx.x; r < R; r += kCentreThreads) local = fmaxf(local, fabsf(sum[r]));
  largest[threadIdx.x] = local;
  __syncthreads();
  for (int half = kCentreThreads / 2; half > 0; half /= 2) {
    if (static_cast<int>(threadIdx.x) < half) largest[threadIdx.x] = fmaxf(largest[threadIdx.x], largest[threadIdx.x + half]);
    __syncthreads();
  }
  const float scale = largest[0] > 1e-30f ? 1 / largest[0] : 0.f;  // below, products with z leave fp32's range: no centre is taken off
  float products = 0, square = 0;
  if (group < groups)
    for (int r = group; r < R; r += groups) {
      const float z = sum[r] * scale;
      products += z * (state[r * D + column] * scale);
      square += z * z;
    }
  weighted[threadIdx.x] = products;
  squares[threadIdx.x] = square;
  __syncthreads();
  products = square = 0;
  for (int other = 0; other < groups; ++other) products += weighted[other * D + column], square += squares[other * D + column];
  const float centre = square > 0 ? products / square : 0.f;
  if (group == 0) p.centre[blockIdx.x * D + column] = centre;
  if (!p.exact_sum || group >= groups) return;
  const float* const exact = p.exact_sum + static_cast<int64_t>(blockIdx.x) * R;
  for (int r = group; r < R; r += groups) state[r * D + column] += (exact[r] - sum[r]) * centre;
}

// The fewest stretches among those that take the fewest rounds of tiles, where a multiprocessor holds `resident` blocks.
int best_splits(int64_t blocks, int tiles, int limit, int resident) {
  const int64_t slots = static_cast<int64_t>(std::max(device_attribute(cudaDevAttrMultiProcessorCount), 1)) * resident;
  int best = 1;
  int64_t best_cost = 0;
  for (int splits = 1; splits <= std::min(tiles, limit); ++splits) {
    const int64_t cost = (blocks * splits + slots - 1) / slots * ((tiles + splits - 1) / splits);
    if (splits == 1 || cost * 100 < best_cost * 98) {  // 2 %: more stretches also mean more parts to add
      best_cost = cost;
      best = splits;
    }
  }
  return best;
}

struct TokensPerTile {
  template <class Engine, class T, int kWidth>
  int run() const {
    return Engine::kTokens;
  }
};

struct QueryBlocks {
  const LinearAttentionShape& shape;
  template <class Engine, class T, int kWidth>
  int run() const {
    return footprint<Engine, kWidth>(shape, Use::kQuery).resident;
  }
};

struct BytesWanted {
  const LinearAttentionShape& shape;
  bool backward;
  template <class Engine, class T, int kWidth>
  size_t run() const {
    const auto bytes = [&](Use use) { return Memory<Engine, kWidth>(nullptr, shape, use, 1).bytes; };
    return std::max({bytes(Use::kState), bytes(Use::kQuery), backward ? bytes(Use::kGradient) : 0});
  }
};

int tiles_of(const LinearAttentionShape& shape) {
  const int per_tile = instantiate(shape, TokensPerTile{});
  return (shape.tokens + per_tile - 1) / per_tile;
}

unsigned blocks_for(int64_t elements) { return static_cast<unsigned>((elements + 255) / 256); }

}  // namespace
}  // namespace linear_attention

using namespace linear_attention;

bool linear_attention_fits(const LinearAttentionShape& shape, bool backward) {
  return device_attribute(cudaDevAttrComputeCapabilityMajor) >= 8 && instantiate(shape, BytesWanted{shape, backward}) <= shared_memory_limit();
}

int state_splits(const LinearAttentionShape& shape, int limit) {
  const int blocks = feature_blocks(shape.map, shape.feature_dim, tile_width(shape.head_dim));
  return best_splits(static_cast<int64_t>(shape.batch) * shape.heads * blocks, tiles_of(shape), limit, /*resident=*/1);
}
int query_splits(const LinearAttentionShape& shape) {
  return best_splits(static_cast<int64_t>(shape.batch) * shape.heads, tiles_of(shape), tiles_of(shape), instantiate(shape, QueryBlocks{shape}));
}
int gradient_splits(const LinearAttentionShape& shape, int limit) {
  return best_splits(static_cast<int64_t>(shape.batch) * shape.heads, tiles_of(shape), limit, /*resident=*/1);
}

cudaError_t launch_key_shift(const KeyShiftParams& p) {
  const LinearAttentionShape& shape = p.shape;
  const unsigned rows = shape.batch * shape.heads;
  const auto kernel = shape.type == FloatType::kBFloat16  ? key_shift_kernel<__nv_bfloat16>
                      : shape.type == FloatType::kFloat16 ? key_shift_kernel<__half>
                                                          : key_shift_kernel<float>;
  const cudaError_t status = launch_kernel(kernel, rows * shape.splits, kThreads, 0, shape.stream, p);
  if (status != cudaSuccess) return status;
  const int64_t elements = static_cast<int64_t>(rows) * shape.head_dim;
  return launch_kernel(max_parts_kernel, blocks_for(elements), 256, 0, shape.stream, p.partial, p.shift, elements, shape.splits);
}

cudaError_t launch_centre(const CentreParams& p) {
  return launch_kernel(centre_kernel, static_cast<unsigned>(p.shape.batch * p.shape.heads), kCentreThreads, 0, p.shape.stream, p);
}

cudaError_t launch_sum_parts(const float* partial, float* out, int64_t elements, int parts, cudaStream_t stream) {
  return launch_kernel(sum_parts_kernel, blocks_for(elements), 256, 0, stream, partial, out, elements, parts);
}

cudaError_t launch_sum_projection(const float* partial, float* out, const LinearAttentionShape& shape) {
  const int64_t elements = static_cast<int64_t>(shape.heads) * shape.head_dim * shape.projected_dim;
  return launch_sum_parts(partial, out, elements, shape.splits * shape.batch, shape.stream);
}

}  // namespace linden::cuda
