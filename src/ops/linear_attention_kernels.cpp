#include "ops/linear_attention_kernels.h"

#include "ops/linear_attention_blocked.h"

namespace linden {

// One implementation so far, for every device. A kernel of csrc/cuda/linear_attention comes first here, for the inputs
// that it takes; what it does not take falls through to the blocked one.
LinearAttentionForward linear_attention_forward(const LinearAttentionInputs& inputs, const FeatureMapConfig& map) {
  return linear_attention_forward_blocked(inputs, map);
}

LinearAttentionGradients linear_attention_backward(const at::Tensor& grad_out, const LinearAttentionInputs& inputs,
                                                   const FeatureMapConfig& map, const LinearAttentionForward& saved) {
  return linear_attention_backward_blocked(grad_out, inputs, map, saved);
}

at::ScalarType accumulator_type(at::ScalarType dtype) { return dtype == at::kDouble ? at::kDouble : at::kFloat; }

}  // namespace linden
