// Gate, residual, LayerNorm, scale and shift in one pass. See README.md.
#pragma once

#include "csrc/cuda/adaptive_layer_norm/config.h"
#include "csrc/cuda/adaptive_layer_norm/params.h"

namespace linden::cuda {

// M a multiple of 8 up to kMaxAdaptiveWidth, B <= 65535. Deterministic. Capturable in a CUDA graph.
cudaError_t launch_adaptive_layer_norm(const AdaptiveLayerNormParams& params);
cudaError_t launch_adaptive_layer_norm_backward(const AdaptiveLayerNormBackwardParams& params);

}  // namespace linden::cuda
