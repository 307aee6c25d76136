// Tiles in shared memory, and the copies that fill them.
#pragma once

#include <cstdint>

#include "csrc/cuda/device.cuh"
#include "csrc/cuda/linear_attention/config.h"
#include "csrc/cuda/vector.cuh"

namespace linden::cuda::linear_attention {

// Rows of `stride` elements. The 16-byte pieces of a row are permuted by its number, so that eight rows of one column lie in
// different banks. stride must hold a multiple of 8 pieces.
template <class E>
struct Tile {
  static constexpr int kPiece = 16 / sizeof(E);
  E* data;
  int stride;

  __device__ E* piece(int row, int piece) const { return data + row * stride + (piece ^ (row & 7)) * kPiece; }
  __device__ E& at(int row, int column) const { return piece(row, column / kPiece)[column % kPiece]; }
};

// Rows first_row .. first_row + rows - 1 of a tile, by `threads` threads, of which this is number `thread`.
template <class T, class E, int kWidth>
__device__ void load_rows_by(Tile<E> tile, int first_row, int rows, const T* base, int64_t token_stride, int first, int end, int head_dim, int thread,
                             int threads) {
  constexpr int kPiece = Tile<E>::kPiece, kPieces = kWidth / kPiece;
  asm volatile("" : "+r"(thread));  // the compiler would keep the addresses of all pieces in registers over the caller's loop
#pragma unroll
  for (int n = 0; n < rows * kPieces / threads; ++n) {  // without a rest, for all tiles
    const int i = thread + n * threads;
    const int row = first_row + i / kPieces, piece = i % kPieces, token = first + row;
    const bool valid = token < end && piece * kPiece < head_dim;
    const T* from = valid ? base + token * token_stride + piece * kPiece : base;
    if constexpr (sizeof(T) == sizeof(E)) {
      copy_piece(tile.piece(row, piece), from, valid);
    } else {  // fp16 to fp32
      const Vector<T, kPiece> raw = valid ? load<T, kPiece>(from) : Vector<T, kPiece>{};
      Vector<E, kPiece> wide;
      for (int j = 0; j < kPiece; ++j) wide.element[j] = to_float(raw.element[j]);
      store<E, kPiece>(tile.piece(row, piece), wide);
    }
  }
}

// Rows first .. first + rows of an activation (those from `end` on and columns from D on are zero) to a tile. Call
// finish_copies() and __syncthreads() before use. `base` points at the sample and head.
template <class T, class E, int kWidth>
__device__ void load_rows(Tile<E> tile, const T* base, int64_t token_stride, int first, int rows, int end, int head_dim) {
  load_rows_by<T, E, kWidth>(tile, 0, rows, base, token_stride, first, end, head_dim, threadIdx.x, kThreads);
}
// The same by one warp. Wait for the warp's copies and call __syncwarp() before use.
template <class T, class E, int kWidth>
__device__ void load_warp_rows(Tile<E> tile, int first_row, int rows, const T* base, int64_t token_stride, int first, int end, int head_dim) {
  load_rows_by<T, E, kWidth>(tile, first_row, rows, base, token_stride, first, end, head_dim, threadIdx.x % 32, 32);
}

// A matrix [rows, columns] of any float type to a tile, padded with zeros to `padded_rows` and the tile's stride.
template <class S, class E>
__device__ void load_matrix(Tile<E> tile, const S* from, int rows, int columns, int padded_rows, int padded_columns) {
  for (int i = threadIdx.x; i < padded_rows * padded_columns; i += blockDim.x) {
    const int row = i / padded_columns, column = i % padded_columns;
    const float value = row < rows && column < columns ? to_float(from[row * columns + column]) : 0.f;
    tile.at(row, column) = from_float<E>(value);
  }
}

}  // namespace linden::cuda::linear_attention
