// Standard normals by (seed, purpose, index, step) on whatever device the indices live on.
// On the CPU this is core/random.h; on a GPU csrc/cuda/philox_normal, whose integer words are the same and
// whose normals agree to a few ulps (libm differs).
#pragma once

#include <ATen/core/Tensor.h>

#include "core/random.h"

namespace linden {

// indices, steps: [B] int64 on one device. Returns [B, ...shape] fp32 there. Capturable in a CUDA graph.
at::Tensor philox_normal(uint64_t seed, Purpose purpose, const at::Tensor& indices, const at::Tensor& steps, at::IntArrayRef shape);

}  // namespace linden
