// One call of a given back-end of softmax attention, and the timing of all of them.
#pragma once

#include <ATen/core/Tensor.h>

#include "ops/attention_choices.h"

namespace linden {

// q: [B, H, N, D], k, v: [B, H, N_kv, D], any strides; mask: undefined, or bool, broadcast to [B, H, N, N_kv], true: attended.
struct AttentionOperands {
  at::Tensor q, k, v, mask;
};

// softmax(q k^T / sqrt(D)) v by that back-end alone, and so is its gradient: c10::Error where it does not take the operands.
// LibTorch knows back-ends by flags of the process; they are set while the call is dispatched, under a lock, and restored. Other
// threads that call LibTorch's attention at that very moment see them too.
at::Tensor attention_by(AttentionBackend backend, const AttentionOperands& operands);

// Times every back-end on the operands' device: two calls that do not count, the median of five, by events of the stream.
// gradient: forward and backward. Back-ends whose scores would fill memory are not tried.
AttentionMeasurement measure_attention(const AttentionOperands& operands, bool gradient);

}  // namespace linden
