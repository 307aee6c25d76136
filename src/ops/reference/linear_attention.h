// Two naive formulas of linear attention, written apart from each other and from the fast path: the truth of its tests.
// Differentiable by LibTorch's own autograd, in any floating dtype (fp64 for truth); they convert nothing.
#pragma once

#include "ops/linear_attention_kernels.h"

namespace linden::reference {

// Quadratic form: weights a_nm = phi(q_n) phi(k_m), of N x N, o_n = sum_m a_nm v_m / max(sum_m a_nm, eps n_valid).
// taylor2 and exp take their weights from q k directly, without features.
at::Tensor linear_attention_quadratic(const LinearAttentionInputs& inputs, const FeatureMapConfig& map);
// State form: S = sum_m phi(k_m)^T v_m, z = sum_m phi(k_m), o_n = phi(q_n) S / max(phi(q_n) z, eps n_valid).
// This is also the plain torch expression: what one would write without an operator.
at::Tensor linear_attention_state(const LinearAttentionInputs& inputs, const FeatureMapConfig& map);

}  // namespace linden::reference
