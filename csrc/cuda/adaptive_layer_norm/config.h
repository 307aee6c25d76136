// How many threads a multiprocessor is given: as many as its 65,536 registers hold, so that all blocks run at once.
#pragma once

#include "csrc/cuda/row_config.h"

namespace linden::cuda {

// A block has at most so many. Forward two such blocks run at once (102 registers a thread); backward, which needs 160 to
// 168 for its sums, parameters and four tensors, one.
constexpr int kMaxAdaptiveThreads = 320;
constexpr int kMaxAdaptiveWidth = kMaxAdaptiveThreads * kVectorsPerThread * kRowVector;  // 5120
constexpr int kAdaptiveForwardThreads = 640, kAdaptiveBackwardThreads = 384;

// Blocks of one sample.
constexpr int64_t adaptive_layer_norm_blocks(int64_t batch, int64_t tokens, int width, int threads_per_processor) {
  const int64_t all = row_blocks(batch * tokens, width, threads_per_processor);
  return std::min(tokens, (all + batch - 1) / batch);
}
constexpr int64_t adaptive_layer_norm_backward_blocks(int64_t batch, int64_t tokens, int width) {
  return adaptive_layer_norm_blocks(batch, tokens, width, kAdaptiveBackwardThreads);
}

}  // namespace linden::cuda
