// The autograd Function of linear attention, over whoever computes forward and backward: the dispatch of
// linear_attention_kernels.h in the program, LibTorch's dispatcher in the library for Python.
// Include it in a .cpp only: torch's autograd header is heavy.
#pragma once

#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>

#include "core/error.h"
#include "ops/linear_attention_kernels.h"

namespace linden {

inline at::Tensor or_undefined(const std::optional<at::Tensor>& x) { return x ? *x : at::Tensor(); }
inline std::optional<at::Tensor> or_nullopt(const at::Tensor& x) { return x.defined() ? std::optional(x) : std::nullopt; }

// Kernels: static forward(inputs, map) and backward(grad_out, inputs, map, saved), as in linear_attention_kernels.h.
// Saves q, k, v, W, S, z and, for `exp`, the shift: no features, nothing of N x N.
template <class Kernels>
class LinearAttentionFunction : public torch::autograd::Function<LinearAttentionFunction<Kernels>> {
 public:
  using Optional = std::optional<at::Tensor>;
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const Optional& w_q,
                            const Optional& w_k, const Optional& num_valid, const FeatureMapConfig& map) {
    const at::AutoDispatchBelowADInplaceOrView below_autograd;
    const LinearAttentionInputs inputs{q, k, v, or_undefined(w_q), or_undefined(w_k), or_undefined(num_valid)};
    const LinearAttentionForward result = Kernels::forward(inputs, map);
    context->save_for_backward({q, k, v, inputs.w_q, inputs.w_k, inputs.num_valid, result.state, result.key_sum, result.key_shift});
    context->saved_data["feature_map"] = feature_map_name(map);
    context->saved_data["eps"] = feature_map_eps(map);
    return result.out;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, torch::autograd::variable_list grads) {
    check(!at::GradMode::is_enabled(), "linear_attention: there is no second derivative; call backward without create_graph");
    const at::AutoDispatchBelowADInplaceOrView below_autograd;
    const torch::autograd::variable_list saved = context->get_saved_variables();
    const LinearAttentionInputs inputs{saved[0], saved[1], saved[2], saved[3], saved[4], saved[5]};
    const FeatureMapConfig map = feature_map_of(context->saved_data["feature_map"].toStringRef(), context->saved_data["eps"].toDouble());
    const LinearAttentionGradients g = Kernels::backward(grads[0], inputs, map, {{}, saved[6], saved[7], saved[8]});
    return {g.q, g.k, g.v, g.w_q, g.w_k, {}, {}};
  }
};

}  // namespace linden
