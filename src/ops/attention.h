// Softmax attention: exact, by the back-end that is fastest for the shape.
#pragma once

#include <ATen/core/Tensor.h>

#include "ops/attention_choices.h"

namespace linden {

// softmax(q k^T / sqrt(D)) v. q: [B, N, H, D]; k, v: [B, N_kv, H, D], N_kv = N in self-attention; any strides, read as they lie.
// num_valid: undefined, or [B] and N_kv = N: tokens from num_valid[b] on are not attended to and their rows of the output are 0.
// Returns [B, N, H, D]. Differentiable; the gradient runs on the same back-end.
// On a card a shape that `choices` does not know yet is measured first (attention_choices.h), which waits for the device; while a
// CUDA graph is captured it is not, and LibTorch's own rules decide. On the CPU they always do.
at::Tensor softmax_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& num_valid,
                             AttentionChoices& choices = default_attention_choices());

// The key of the choice for these tensors, as softmax_attention() makes it.
AttentionShape attention_shape_of(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& num_valid);

}  // namespace linden
