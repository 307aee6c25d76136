// Linear attention by the kernels of csrc/cuda/linear_attention: fp32, bf16 and fp16 on a card of compute capability 8.0 or later.
#pragma once

#include <string>

#include "ops/linear_attention_kernels.h"

namespace linden {

// Empty where the kernels take this problem, else why not. `backward`: the gradient wants more shared memory.
std::string linear_attention_cuda_refusal(const LinearAttentionInputs& inputs, const FeatureMapConfig& map, bool backward);

// Under a caller that asked for a refusal first. Inputs whose rows are not aligned to 16 bytes are copied. num_valid is read on the
// device (clamped to 0 .. N): nothing waits for it, and a CUDA graph can capture the call.
LinearAttentionForward linear_attention_forward_cuda(const LinearAttentionInputs& inputs, const FeatureMapConfig& map);
LinearAttentionGradients linear_attention_backward_cuda(const at::Tensor& grad_out, const LinearAttentionInputs& inputs, const FeatureMapConfig& map,
                                                        const LinearAttentionForward& saved);

}  // namespace linden
