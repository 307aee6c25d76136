// Group norm of channels_last images, fused with a shift before it and SiLU after it. See README.md.
#pragma once

#include "csrc/cuda/group_norm_silu/params.h"

namespace linden::cuda {

// Any B <= 65535, P >= 1, C a multiple of G. Deterministic. Capturable in a CUDA graph.
cudaError_t launch_group_norm_silu(const GroupNormSiluParams& params);
cudaError_t launch_group_norm_silu_backward(const GroupNormSiluBackwardParams& params);

}  // namespace linden::cuda
