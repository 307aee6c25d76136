// The gate of selective transfer (LinVideo, Eq. 8): o = r softmax-attention + (1 - r) linear attention, r one number a layer.
//
//     dr = sum <dO, O_soft - O_lin>,   dO_soft = r dO,   dO_lin = (1 - r) dO
#pragma once

#include "ops/attention.h"
#include "ops/linear_attention.h"

namespace linden {

// r soft + (1 - r) linear in fp32 (fp64 for fp64), cast once. soft, linear: [B, N, H, D]; r: one element, any floating
// dtype. Autocast changes nothing, here and below. At r = 1 (0) the result is bit-equal to soft (linear), whatever the other holds.
at::Tensor mix_attention(const at::Tensor& soft, const at::Tensor& linear, const at::Tensor& r);

enum class GateBranches { kBoth, kSoftmax, kLinear };
// One branch only where r needs no gradient (frozen, or no-grad mode) and is exactly 0 or 1: a trainable r at 0 or 1
// still needs both for its own gradient. Reading a frozen r waits for the device.
GateBranches gate_branches(const at::Tensor& r);

// The whole mixer: the branches that are needed, mixed by r. A branch that does not run gets no gradients.
at::Tensor gated_attention(const LinearAttentionInputs& inputs, const LinearAttentionConfig& config, const at::Tensor& r);

}  // namespace linden
