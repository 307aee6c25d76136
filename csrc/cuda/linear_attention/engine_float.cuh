// Tile products of fp32 by ordinary multiply-adds: every product and sum is rounded once, so that fp32 inputs keep fp32's
// accuracy. fp16 inputs are widened to it: they keep their mantissa, and nothing leaves the range.
//
// A warp owns 4 whole rows of a tile of 32 tokens; a thread has all 4 of them in the columns lane, lane + 32, ...
#pragma once

#include "csrc/cuda/linear_attention/tile.cuh"

namespace linden::cuda::linear_attention {

template <int kWidth>
struct FloatEngine {
  using Element = float;
  static constexpr int kWarpRows = 4, kTokens = kWarps * kWarpRows;
  static constexpr int kRows = kWarpRows, kColumns = kWidth / 32, kChunkColumns = 1;
  static constexpr int kScratchRows = kTokens;  // operands are read from shared memory
  static constexpr bool kFastExp = false;
  using Chunk = float[kRows][kChunkColumns];

  __device__ static int lane() { return threadIdx.x % 32; }
  __device__ static int row(int i) { return i; }
  __device__ static int column(int j) { return lane() + 32 * j; }
  template <class F>
  __device__ static float reduce_row(float value, F combine) {
    for (int step = 1; step < 32; step *= 2) value = combine(value, __shfl_xor_sync(~0u, value, step));
    return value;
  }
  __device__ static bool leads_row() { return lane() == 0; }

  struct Rows {
    float values[kRows][kColumns];
    __device__ float get(int i, int j) const { return values[i][j]; }
  };
  __device__ static void set_rows(Rows& rows, const float (&values)[kRows][kColumns]) {
#pragma unroll
    for (int i = 0; i < kRows; ++i)
#pragma unroll
      for (int j = 0; j < kColumns; ++j) rows.values[i][j] = values[i][j];
  }
  __device__ static void set_chunk(Rows& rows, int c, const Chunk& values) {
#pragma unroll
    for (int i = 0; i < kRows; ++i) rows.values[i][c] = values[i][0];
  }
  __device__ static void read_chunk(Chunk& values, Tile<Element> tile, int first_row, int c) {
#pragma unroll
    for (int i = 0; i < kRows; ++i) values[i][0] = tile.at(first_row + i, c * kChunk + lane());
  }
  __device__ static void store(Tile<Element> tile, int first_row, const Rows& rows) {
#pragma unroll
    for (int i = 0; i < kRows; ++i)
#pragma unroll
      for (int j = 0; j < kColumns; ++j) tile.at(first_row + i, column(j)) = rows.values[i][j];
  }
  __device__ static void stage(const Rows& rows, Tile<Element> scratch, int first_row) {
    __syncwarp();
    store(scratch, first_row, rows);
    __syncwarp();
  }

  // The left operand is read from `a`, rows a_row .. a_row + 3.
  __device__ static void multiply(Chunk& out, const Rows&, Tile<Element> a, int a_row, Tile<Element> b, int b_row, int column, int depth = kWidth) {
    for (int k = 0; k < depth; k += 4) {
      Vector<float, 4> left[kRows];
#pragma unroll
      for (int i = 0; i < kRows; ++i) left[i] = linden::cuda::load<float, 4>(a.piece(a_row + i, k / 4));
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const float right = b.at(b_row + k + e, column + lane());
#pragma unroll
        for (int i = 0; i < kRows; ++i) out[i][0] = fmaf(left[i].element[e], right, out[i][0]);
      }
    }
  }
  __device__ static void multiply_tile(Chunk& out, Tile<Element> a, int a_row, Tile<Element> b, int b_row, int column, int depth = kWidth) {
    multiply(out, {}, a, a_row, b, b_row, column, depth);
  }
  __device__ static void multiply_transposed(Chunk& out, Tile<Element> a, int a_row, Tile<Element> b, int b_row, int depth = kWidth) {
    for (int k = 0; k < depth; k += 4) {
      const Vector<float, 4> right = linden::cuda::load<float, 4>(b.piece(b_row + lane(), k / 4));
#pragma unroll
      for (int i = 0; i < kRows; ++i) {
        const Vector<float, 4> left = linden::cuda::load<float, 4>(a.piece(a_row + i, k / 4));
#pragma unroll
        for (int e = 0; e < 4; ++e) out[i][0] = fmaf(left.element[e], right.element[e], out[i][0]);
      }
    }
  }

  // Thread (y, x) of 16 x 16 has rows 4 y + 64 m + {0 .. 3} and columns 4 x + 64 n + {0 .. 3}.
  static constexpr int kM = kWidth / 64;
  using Outer = float[kM][kM][4][4];
  __device__ static void add_outer(Outer& sum, Tile<Element> a, Tile<Element> b, int thread = threadIdx.x) {
    const int y = thread / 16, x = thread % 16;
#pragma unroll 4
    for (int t = 0; t < kTokens; ++t) {
      Vector<float, 4> left[kM], right[kM];
#pragma unroll
      for (int m = 0; m < kM; ++m) {
        left[m] = linden::cuda::load<float, 4>(a.piece(t, y + 16 * m));
        right[m] = linden::cuda::load<float, 4>(b.piece(t, x + 16 * m));
      }
#pragma unroll
      for (int m = 0; m < kM; ++m)
#pragma unroll
        for (int n = 0; n < kM; ++n)
#pragma unroll
          for (int i = 0; i < 4; ++i)
#pragma unroll
            for (int j = 0; j < 4; ++j) sum[m][n][i][j] = fmaf(left[m].element[i], right[n].element[j], sum[m][n][i][j]);
    }
  }
  template <class F>
  __device__ static void for_each(const Outer& sum, F body, int thread = threadIdx.x) {
    const int y = thread / 16, x = thread % 16;
#pragma unroll
    for (int m = 0; m < kM; ++m)
#pragma unroll
      for (int n = 0; n < kM; ++n)
#pragma unroll
        for (int i = 0; i < 4; ++i)
#pragma unroll
          for (int j = 0; j < 4; ++j) body(4 * y + 64 * m + i, 4 * x + 64 * n + j, sum[m][n][i][j]);
  }
};

}  // namespace linden::cuda::linear_attention
