// Linear attention in blocks of tokens, from tensor operations: the fast path of the CPU, correct on any device.
//
// A task is a sample and a fixed stretch of its tokens, all heads at once; tasks run in parallel on the CPU, one after
// another elsewhere. Stretches depend on the shape alone and partial sums are added in their order, so results are
// bit-equal from run to run and across thread counts. Only blocks of phi(q) and phi(k) ever exist.
#pragma once

#include "ops/linear_attention_kernels.h"

namespace linden {

LinearAttentionForward linear_attention_forward_blocked(const LinearAttentionInputs& inputs, const FeatureMapConfig& map);
// The derivation: docs/linear_attention.md.
LinearAttentionGradients linear_attention_backward_blocked(const at::Tensor& grad_out, const LinearAttentionInputs& inputs, const FeatureMapConfig& map,
                                                           const LinearAttentionForward& saved);
// phi(q) z before the floor, [B, N, H] in the accumulator dtype; 1 in rows of padding. For checks.
at::Tensor linear_attention_denominators(const LinearAttentionInputs& inputs, const FeatureMapConfig& map, const LinearAttentionForward& saved);

}  // namespace linden
