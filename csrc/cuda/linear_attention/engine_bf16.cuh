// Tile products of bf16 on tensor cores (mma.m16n8k16, sm_80 and later), sums in fp32.
//
// A warp owns 16 whole rows of a tile of 128 tokens. Thread (g, t) = (lane / 4, lane % 4) holds rows g and g + 8, and of every
// 8 columns 2 t and 2 t + 1: that is the layout of the accumulators, and of `Values` everywhere.
#pragma once

#include <cuda_bf16.h>

#include "csrc/cuda/linear_attention/tile.cuh"

namespace linden::cuda::linear_attention {

template <int kWidth>
struct Bf16Engine {
  using Element = __nv_bfloat16;
  static constexpr int kWarpRows = 16, kTokens = kWarps * kWarpRows;
  static constexpr int kRows = 2, kColumns = kWidth / 4, kChunkColumns = kChunk / 4;  // of a thread
  static constexpr int kScratchRows = 0;                                              // operands in registers need no scratch
  static constexpr bool kFastExp = true;
  using Chunk = float[kRows][kChunkColumns];

  __device__ static int lane() { return threadIdx.x % 32; }
  __device__ static int row(int i) { return lane() / 4 + 8 * i; }  // of the warp's 16
  __device__ static int column(int j) { return j / 2 * 8 + lane() % 4 * 2 + j % 2; }
  template <class F>
  __device__ static float reduce_row(float value, F combine) {  // over the threads of a row
    value = combine(value, __shfl_xor_sync(~0u, value, 1));
    return combine(value, __shfl_xor_sync(~0u, value, 2));
  }
  __device__ static bool leads_row() { return lane() % 4 == 0; }

  // Where a lane's 16 bytes for ldmatrix lie: rows from a multiple of 8 on, pieces from an even one on. What depends on the lane is
  // worked out once a product and then hidden from the compiler, which would otherwise keep all addresses of all products in registers
  // over the loop, and spill.
  struct Lanes {
    uint32_t base, x, row_bytes;
    __device__ Lanes(Tile<Element> tile, int row, int lane_row, int lane_piece)
        : base(shared_address(tile.data) + (row + lane_row) * tile.stride * 2),
          x((lane_piece ^ lane_row % 8) << 4),
          row_bytes(tile.stride * 2) {
      asm volatile("" : "+r"(base), "+r"(x));
    }
    __device__ uint32_t at(int row, int piece) const { return base + row * row_bytes + (piece << 4 ^ x); }
  };
  // The four matrices of a ldmatrix go down the rows first, or along the pieces first.
  __device__ static Lanes down(Tile<Element> tile, int row) { return {tile, row, lane() % 16, lane() / 16}; }
  __device__ static Lanes along(Tile<Element> tile, int row) { return {tile, row, lane() / 16 * 8 + lane() % 8, lane() / 8 % 2}; }
  // The two elements that accumulators hold of rows lane / 4 (+ 8), columns 8 piece + 2 (lane % 4) and the next.
  struct Pairs {
    Element* base;
    int x, stride;
    __device__ Pairs(Tile<Element> tile, int first_row)
        : base(tile.data + (first_row + lane() / 4) * tile.stride + lane() % 4 * 2),
          x(lane() / 4 << 3),
          stride(tile.stride) {
      asm volatile("" : "+r"(x));
    }
    __device__ uint32_t& at(int i, int piece) const { return *reinterpret_cast<uint32_t*>(base + 8 * i * stride + (piece << 3 ^ x)); }
  };

  // The warp's rows [16, kWidth] as the left operand of products: fragments a of mma, rounded to bf16.
  struct Rows {
    uint32_t a[kWidth / 16][4];
    __device__ void set(int j, float first, float second, int i) {  // columns j, j + 1 (j even) of row i
      const __nv_bfloat162 pair = __floats2bfloat162_rn(first, second);
      a[j / 4][(j / 2 % 2) * 2 + i] = reinterpret_cast<const uint32_t&>(pair);
    }
    __device__ float get(int i, int j) const {
      const uint32_t bits = a[j / 4][(j / 2 % 2) * 2 + i];
      return __uint_as_float(j % 2 ? bits & 0xffff0000u : bits << 16);
    }
  };
  __device__ static void set_rows(Rows& rows, const float (&values)[kRows][kColumns]) {
#pragma unroll
    for (int i = 0; i < kRows; ++i)
#pragma unroll
      for (int j = 0; j < kColumns; j += 2) rows.set(j, values[i][j], values[i][j + 1], i);
  }
  __device__ static void set_chunk(Rows& rows, int c, const Chunk& values) {
#pragma unroll
    for (int i = 0; i < kRows; ++i)
#pragma unroll
      for (int j = 0; j < kChunkColumns; j += 2) rows.set(c * kChunkColumns + j, values[i][j], values[i][j + 1], i);
  }
  __device__ static void read_chunk(Chunk& values, Tile<Element> tile, int first_row, int c) {
    const Pairs pairs(tile, first_row);
#pragma unroll
    for (int i = 0; i < kRows; ++i)
#pragma unroll
      for (int j = 0; j < kChunkColumns; j += 2) {
        const uint32_t bits = pairs.at(i, c * 4 + j / 2);
        values[i][j] = __uint_as_float(bits << 16);
        values[i][j + 1] = __uint_as_float(bits & 0xffff0000u);
      }
  }
  __device__ static void store(Tile<Element> tile, int first_row, const Rows& rows) {
    const Pairs pairs(tile, first_row);
#pragma unroll
    for (int i = 0; i < kRows; ++i)
#pragma unroll
      for (int n = 0; n < kWidth / 8; ++n) pairs.at(i, n) = rows.a[n / 2][n % 2 * 2 + i];
  }
  __device__ static void store_chunk(Tile<Element> tile, int first_row, int c, const Chunk& values) {
    const Pairs pairs(tile, first_row);
#pragma unroll
    for (int i = 0; i < kRows; ++i)
#pragma unroll
      for (int j = 0; j < kChunkColumns; j += 2) {
        const __nv_bfloat162 both = __floats2bfloat162_rn(values[i][j], values[i][j + 1]);
        pairs.at(i, c * 4 + j / 2) = reinterpret_cast<const uint32_t&>(both);
      }
  }
  // Makes rows readable as an operand: nothing to do here.
  __device__ static void stage(const Rows&, Tile<Element>, int) {}

  // out += rows[:, 0 .. kWidth) b[b_row + k][column_piece ...]: 32 columns of b from `column` on.
  __device__ static void multiply(Chunk& out, const Rows& rows, Tile<Element>, int, Tile<Element> b, int b_row, int column, int depth = kWidth) {
    float c[4][4];
    unpack(out, c);
    const Lanes right = down(b, b_row);
#pragma unroll
    for (int s = 0; s < kWidth / 16; ++s) {
      if (s * 16 >= depth) break;
#pragma unroll
      for (int n = 0; n < 4; n += 2) {
        uint32_t r[4];
        load_matrices_transposed(r, right.at(s * 16, column / 8 + n));
        multiply_add(c[n], rows.a[s], r[0], r[1]);
        multiply_add(c[n + 1], rows.a[s], r[2], r[3]);
      }
    }
    pack(out, c);
  }
  // out += a[a_row + 16 rows][k] b[b_row + k][32 columns from `column` on], the left operand in shared memory.
  __device__ static void multiply_tile(Chunk& out, Tile<Element> a, int a_row, Tile<Element> b, int b_row, int column, int depth = kWidth) {
    float c[4][4];
    unpack(out, c);
    const Lanes left_lanes = down(a, a_row), right = down(b, b_row);
#pragma unroll
    for (int s = 0; s < kWidth / 16; ++s) {
      if (s * 16 >= depth) break;
      uint32_t left[4], r[4];
      load_matrices(left, left_lanes.at(0, 2 * s));
#pragma unroll
      for (int n = 0; n < 4; n += 2) {
        load_matrices_transposed(r, right.at(s * 16, column / 8 + n));
        multiply_add(c[n], left, r[0], r[1]);
        multiply_add(c[n + 1], left, r[2], r[3]);
      }
    }
    pack(out, c);
  }
  // out += a[a_row + 16 rows][k] b[b_row + 0 .. 31][k], k < depth.
  __device__ static void multiply_transposed(Chunk& out, Tile<Element> a, int a_row, Tile<Element> b, int b_row, int depth = kWidth) {
    float c[4][4];
    unpack(out, c);
    const Lanes left_lanes = down(a, a_row), right = along(b, b_row);
#pragma unroll
    for (int s = 0; s < kWidth / 16; ++s) {
      if (s * 16 >= depth) break;
      uint32_t left[4], r[4];
      load_matrices(left, left_lanes.at(0, 2 * s));
#pragma unroll
      for (int n = 0; n < 4; n += 2) {
        load_matrices(r, right.at(n * 8, 2 * s));
        multiply_add(c[n], left, r[0], r[1]);
        multiply_add(c[n + 1], left, r[2], r[3]);
      }
    }
    pack(out, c);
  }

  // The sum over the tile's tokens of a[t][r] b[t][d], kThreads threads together: warp w has 16 kM rows r and 8 kN columns d.
  static constexpr int kM = kWidth / 64, kN = kWidth / 16;
  using Outer = float[kM][kN][4];
  __device__ static void add_outer(Outer& sum, Tile<Element> a, Tile<Element> b, int thread = threadIdx.x) {
    const int warp = thread / 32, r0 = warp / 2 * 16 * kM, d0 = warp % 2 * 8 * kN;
    const Lanes left = along(a, 0), right = down(b, 0);
#pragma unroll 2
    for (int k = 0; k < kTokens; k += 16) {
      uint32_t fragment[kM][4];
#pragma unroll
      for (int m = 0; m < kM; ++m) load_matrices_transposed(fragment[m], left.at(k, (r0 + 16 * m) / 8));
#pragma unroll
      for (int n = 0; n < kN; n += 2) {
        uint32_t r[4];
        load_matrices_transposed(r, right.at(k, d0 / 8 + n));
#pragma unroll
        for (int m = 0; m < kM; ++m) {
          multiply_add(sum[m][n], fragment[m], r[0], r[1]);
          multiply_add(sum[m][n + 1], fragment[m], r[2], r[3]);
        }
      }
    }
  }
  template <class F>
  __device__ static void for_each(const Outer& sum, F body, int thread = threadIdx.x) {  // body(r, d, value)
    const int warp = thread / 32, r0 = warp / 2 * 16 * kM, d0 = warp % 2 * 8 * kN;
#pragma unroll
    for (int m = 0; m < kM; ++m)
#pragma unroll
      for (int n = 0; n < kN; ++n)
#pragma unroll
        for (int e = 0; e < 4; ++e) body(r0 + 16 * m + lane() / 4 + e / 2 * 8, d0 + 8 * n + lane() % 4 * 2 + e % 2, sum[m][n][e]);
  }

 private:
  __device__ static void unpack(const Chunk& from, float (&c)[4][4]) {
#pragma unroll
    for (int n = 0; n < 4; ++n)
#pragma unroll
      for (int e = 0; e < 4; ++e) c[n][e] = from[e / 2][2 * n + e % 2];
  }
  __device__ static void pack(Chunk& to, const float (&c)[4][4]) {
#pragma unroll
    for (int n = 0; n < 4; ++n)
#pragma unroll
      for (int e = 0; e < 4; ++e) to[e / 2][2 * n + e % 2] = c[n][e];
  }
};

}  // namespace linden::cuda::linear_attention
