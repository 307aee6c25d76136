// How many threads a multiprocessor is given: as many as its 65,536 registers hold, so that all blocks run at once.
#pragma once

#include "csrc/cuda/row_config.h"

namespace linden::cuda {

// Weight and two rows (one on its way) in registers: 63 to 70 a thread, 84 in fp32.
constexpr int rms_norm_forward_threads(int element_bytes) { return element_bytes == 4 ? 640 : 896; }
// Weight, its gradient and two tensors: 94 to 104.
constexpr int kRmsNormBackwardThreads = 640;

constexpr int64_t rms_norm_rotary_backward_blocks(int64_t rows, int width) { return row_blocks(rows, width, kRmsNormBackwardThreads); }

}  // namespace linden::cuda
