// Non-causal linear attention as an operator: checks, gradients and dispatch. Formulas and limits: docs/linear_attention.md.
//
//     o_n = phi(q_n) S / max(phi(q_n) z, eps n_valid),   S = sum_m phi(k_m)^T v_m,   z = sum_m phi(k_m)
//
// LinVideo (Eq. 5, 6) uses the `hedgehog` map. Nothing scales q or k: a learned W absorbs 1 / sqrt(D).
#pragma once

#include "ops/linear_attention_kernels.h"

namespace linden {

struct LinearAttentionConfig {
  FeatureMapConfig feature_map;
  bool check_finite = false;  // one more pass over q: throws where a denominator is inf or NaN, before the output is made
};
void visit_fields(FieldVisitor& v, LinearAttentionConfig& c);

// q, k, v: [B, N, H, D] in fp32, bf16, fp16 or fp64, B, N, H >= 1, D in {32, 64, 96, 128}, any strides, one device.
// w_q, w_k: [H, D, D] for hedgehog, [H, D, d] with d <= 16 for taylor2, undefined for the other maps; in q's dtype or
// the accumulators' (fp32). num_valid: [B] int64, 0 .. N; tokens from num_valid[b] on are neither read nor summed, and
// their rows of the output and of the gradients are 0. Counts on a CUDA device are checked only under check_finite (else clamped).
// Returns [B, N, H, D] in q's dtype, contiguous. Sums are fp32 (fp64 for fp64) and deterministic: two runs are bit-equal,
// on the CPU for any number of threads. Differentiable once in q, k, v, w_q and w_k.
// Autocast changes nothing: q, k and v come in one dtype, which is the result's.
// Throws CheckError with argument, what it got and what it wants.
at::Tensor linear_attention(const LinearAttentionInputs& inputs, const LinearAttentionConfig& config);

// The checks of linear_attention alone. Values (of num_valid) are looked at only where `look_at_values`.
void check_linear_attention(const LinearAttentionInputs& inputs, const FeatureMapConfig& map, bool look_at_values = true);

}  // namespace linden
