// The feature maps on the rows that a warp holds, forward and backward.
#pragma once

#include "csrc/cuda/linear_attention/params.h"
#include "csrc/cuda/linear_attention/tile.cuh"

namespace linden::cuda::linear_attention {

// A row's features come in blocks of the tile's width: one for most maps, two for hedgehog (the two softmaxes), as many as
// 1 + d + d (d + 1) / 2 features need for taylor2.
template <int kWidth>
constexpr int kMaxBlocks = kWidth == kWide ? 2 : 3;
__host__ __device__ inline int feature_blocks(FeatureMap map, int feature_dim, int width) {
  return map == FeatureMap::kHedgehog ? 2 : map == FeatureMap::kTaylor2 ? (feature_dim + width - 1) / width : 1;
}
// Rows of the padded state: feature f of block b is row b width + f.
__host__ __device__ inline int padded_features(FeatureMap map, int feature_dim, int width) {
  return map == FeatureMap::kTaylor2 ? (feature_dim + kChunk - 1) / kChunk * kChunk : feature_blocks(map, feature_dim, width) * width;
}
// Row of the state in memory [R, D] of padded row p; -1: padding.
__device__ inline int feature_of(FeatureMap map, int feature_dim, int head_dim, int width, int p) {
  if (map == FeatureMap::kTaylor2) return p < feature_dim ? p : -1;
  return p % width < head_dim ? p / width * head_dim + p % width : -1;
}

// taylor2's features by number: 0 is the constant, then u_i, then the pairs i <= j row by row.
struct TaylorTable {
  int projected_dim;
  __device__ int pair(int i, int j) const {  // i <= j
    return 1 + projected_dim + i * projected_dim - i * (i - 1) / 2 + j - i;
  }
  // (i, j) of a pair's feature in one byte, for a table in shared memory.
  __device__ static void fill(uint8_t* table, int projected_dim) {
    const TaylorTable self{projected_dim};
    for (int n = threadIdx.x; n < projected_dim * projected_dim; n += blockDim.x) {
      const int i = n / projected_dim, j = n % projected_dim;
      if (i <= j) table[self.pair(i, j)] = static_cast<uint8_t>(i * 16 + j);
    }
  }
};

struct FeatureContext {
  FeatureMap map;
  int head_dim, projected_dim, feature_dim;
  bool queries;
  const float* shift;    // [width] in shared memory; exp only
  const float* u;        // [kTokens, 16] in shared memory: projected rows; taylor2 only
  const uint8_t* pairs;  // [kMaxTaylor]
};

template <class Engine>
__device__ float exponential(float x) {
  return Engine::kFastExp ? __expf(x) : expf(x);
}

// Whether a thread's column j is one of the head's: head dims are whole chunks, so all threads agree.
template <class Engine>
__device__ bool holds_column(int j, int head_dim) {
  return j / Engine::kChunkColumns * kChunk < head_dim;
}

// values[i][:] = softmax over the first head_dim columns; the others become 0.
template <class Engine>
__device__ void softmax_rows(float (&values)[Engine::kRows][Engine::kColumns], int head_dim) {
#pragma unroll
  for (int i = 0; i < Engine::kRows; ++i) {
    float largest = -INFINITY, total = 0;
#pragma unroll
    for (int j = 0; j < Engine::kColumns; ++j)
      if (holds_column<Engine>(j, head_dim)) largest = fmaxf(largest, values[i][j]);
    largest = Engine::reduce_row(largest, [](float a, float b) { return fmaxf(a, b); });
#pragma unroll
    for (int j = 0; j < Engine::kColumns; ++j) {
      values[i][j] = holds_column<Engine>(j, head_dim) ? exponential<Engine>(values[i][j] - largest) : 0.f;
      total += values[i][j];
    }
    const float scale = 1 / Engine::reduce_row(total, [](float a, float b) { return a + b; });
#pragma unroll
    for (int j = 0; j < Engine::kColumns; ++j) values[i][j] *= scale;
  }
}

template <class Engine>
__device__ float taylor_feature(const FeatureContext& context, int row, int p) {
  const float* u = context.u + row * kMaxProjected;
  if (p == 0) return 1;
  if (p <= context.projected_dim) return u[p - 1];
  if (p >= context.feature_dim) return 0;
  const int i = context.pairs[p] / 16, j = context.pairs[p] % 16;
  return u[i] * u[j] * (i == j ? 0.70710678118654752f : 1.f);
}

// Block `block` of phi, of values = x W or x (they are overwritten). first_row: of the warp in its tile. kProjects: of the maps with a W,
// else of the others; to know it when it is compiled saves registers.
template <class Engine, int kWidth, bool kProjects>
__device__ void features(const FeatureContext& context, float (&values)[Engine::kRows][Engine::kColumns], int block, int first_row) {
  const int head_dim = context.head_dim;
  const auto for_each = [&](auto function) {
#pragma unroll
    for (int i = 0; i < Engine::kRows; ++i)
#pragma unroll
      for (int j = 0; j < Engine::kColumns; ++j) values[i][j] = holds_column<Engine>(j, head_dim) ? function(values[i][j], Engine::column(j)) : 0.f;
  };
  if constexpr (kProjects) {
    if (context.map == FeatureMap::kHedgehog) {
      const float sign = block == 1 ? -1.f : 1.f;
      for_each([sign](float y, int) { return sign * y; });
      softmax_rows<Engine>(values, head_dim);
    } else {
#pragma unroll
      for (int i = 0; i < Engine::kRows; ++i)
#pragma unroll
        for (int j = 0; j < Engine::kColumns; ++j)
          values[i][j] = taylor_feature<Engine>(context, first_row + Engine::row(i), block * kWidth + Engine::column(j));
    }
  } else {
    const bool shifts = context.map == FeatureMap::kExp;
    if (shifts) for_each([&](float x, int column) { return x + (context.queries ? context.shift[column] : -context.shift[column]); });
    if (context.map == FeatureMap::kEluPlusOne) for_each([](float x, int) { return x > 0 ? x + 1 : exponential<Engine>(x); });
    else if (context.map == FeatureMap::kRelu) for_each([](float x, int) { return fmaxf(x, 0.f); });
    else if (shifts && !context.queries) for_each([](float x, int) { return exponential<Engine>(x); });
    else softmax_rows<Engine>(values, head_dim);
  }
}

// x W (kProjects), or x itself, as values. Of taylor2: x W to u, and no values.
template <class Engine, int kWidth, bool kProjects>
__device__ void project(const FeatureContext& context, Tile<typename Engine::Element> x, int first_row, Tile<typename Engine::Element> w, float* u,
                        float (&values)[Engine::kRows][Engine::kColumns]) {
  const bool narrow = kProjects && context.map == FeatureMap::kTaylor2;
#pragma unroll
  for (int c = 0; c < kWidth / kChunk; ++c) {
    if (narrow && c > 0) break;
    typename Engine::Chunk chunk = {};
    // Never false with kProjects: the branch keeps ptxas from starting all chunks' loads at once, which spills.
    if (kProjects && context.projected_dim > 0) Engine::multiply_tile(chunk, x, first_row, w, 0, c * kChunk);
    else Engine::read_chunk(chunk, x, first_row, c);
#pragma unroll
    for (int i = 0; i < Engine::kRows; ++i)
#pragma unroll
      for (int j = 0; j < Engine::kChunkColumns; ++j) values[i][c * Engine::kChunkColumns + j] = chunk[i][j];
  }
  if constexpr (kProjects) {
    if (!narrow) return;
#pragma unroll
    for (int i = 0; i < Engine::kRows; ++i)
#pragma unroll
      for (int j = 0; j < Engine::kChunkColumns; ++j)
        if (Engine::column(j) < kMaxProjected) u[(first_row + Engine::row(i)) * kMaxProjected + Engine::column(j)] = values[i][j];
    __syncwarp();
  }
}

}  // namespace linden::cuda::linear_attention
