// RMSNorm over the full width and the rotary embedding of every head, in one pass. See README.md.
#pragma once

#include "csrc/cuda/rms_norm_rotary/config.h"
#include "csrc/cuda/rms_norm_rotary/params.h"

namespace linden::cuda {

// M a multiple of 8 up to kMaxRowWidth. Deterministic. Capturable in a CUDA graph.
cudaError_t launch_rms_norm_rotary(const RmsNormRotaryParams& params);
cudaError_t launch_rms_norm_rotary_backward(const RmsNormRotaryBackwardParams& params);

}  // namespace linden::cuda
