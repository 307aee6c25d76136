// How the kernels that keep a row in one block's registers divide the work (row.cuh). Host and device.
#pragma once

#include <algorithm>
#include <cstdint>

namespace linden::cuda {

constexpr int kRowVector = 8;  // elements: 16 bytes of the 2-byte types, 32 of fp32
constexpr int kVectorsPerThread = 2;
constexpr int kMaxRowThreads = 512;
constexpr int kMaxRowWidth = kMaxRowThreads * kVectorsPerThread * kRowVector;  // 8192

// Threads of a block for rows of `width` elements (a multiple of kRowVector): whole warps.
constexpr int row_threads(int width) {
  const int vectors = width / kRowVector;
  return (vectors + 32 * kVectorsPerThread - 1) / (32 * kVectorsPerThread) * 32;
}

// Blocks that visit `rows` rows in turn: enough for `threads_per_processor` threads on each of the H100's 132
// multiprocessors, a number of the shape alone, so that sums do not depend on the card.
constexpr int64_t row_blocks(int64_t rows, int width, int threads_per_processor) {
  return std::min<int64_t>(rows, 132 * std::max(1, threads_per_processor / row_threads(width)));
}

}  // namespace linden::cuda
