#include "ops/gated_attention.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <fmt/ranges.h>
#include <torch/csrc/autograd/custom_function.h>

#include "core/error.h"

namespace linden {
namespace {

class MixFunction : public torch::autograd::Function<MixFunction> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& soft, const at::Tensor& linear, const at::Tensor& r) {
    const at::AutoDispatchBelowADInplaceOrView below_autograd;
    const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
    context->save_for_backward({soft, linear, r});
    const at::ScalarType type = accumulator_type(soft.scalar_type());
    const at::Tensor gate = r.reshape({}).to(type);
    const at::Tensor mixed = (soft.to(type) * gate + linear.to(type) * (1 - gate)).to(soft.scalar_type());
    return at::where(gate.eq(1), soft, at::where(gate.eq(0), linear, mixed));
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, torch::autograd::variable_list grads) {
    check(!at::GradMode::is_enabled(), "mix_attention: there is no second derivative; call backward without create_graph");
    const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
    const torch::autograd::variable_list saved = context->get_saved_variables();
    const at::ScalarType dtype = saved[0].scalar_type(), type = accumulator_type(dtype);
    const at::Tensor grad = grads[0].to(type), gate = saved[2].reshape({}).to(type);
    const at::Tensor grad_r = (grad * (saved[0].to(type) - saved[1].to(type))).sum();
    return {(grad * gate).to(dtype), (grad * (1 - gate)).to(dtype), grad_r.to(saved[2].scalar_type()).reshape(saved[2].sizes())};
  }
};

void check_gate(const at::Tensor& r) {
  check(r.defined() && r.numel() == 1, "gated_attention: r has shape {}, wanted one element", r.defined() ? r.sizes() : at::IntArrayRef());
  check(at::isFloatingType(r.scalar_type()), "gated_attention: r is {}, wanted a floating dtype", c10::toString(r.scalar_type()));
}

}  // namespace

at::Tensor mix_attention(const at::Tensor& soft, const at::Tensor& linear, const at::Tensor& r) {
  check_gate(r);
  check(soft.sizes() == linear.sizes() && soft.scalar_type() == linear.scalar_type() && soft.device() == linear.device(),
        "mix_attention: linear is {} {} on {}, wanted soft's {} {} on {}", c10::toString(linear.scalar_type()), linear.sizes(), linear.device().str(),
        c10::toString(soft.scalar_type()), soft.sizes(), soft.device().str());
  check(r.device() == soft.device(), "mix_attention: r is on {}, wanted soft's device {}", r.device().str(), soft.device().str());
  return MixFunction::apply(soft, linear, r);
}

GateBranches gate_branches(const at::Tensor& r) {
  check_gate(r);
  if (r.requires_grad() && at::GradMode::is_enabled()) return GateBranches::kBoth;
  const double value = r.item<double>();
  if (value == 1) return GateBranches::kSoftmax;
  return value == 0 ? GateBranches::kLinear : GateBranches::kBoth;
}

at::Tensor gated_attention(const LinearAttentionInputs& in, const LinearAttentionConfig& config, const at::Tensor& r) {
  check_linear_attention(in, config.feature_map);
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);  // softmax attention would be cast, too
  const auto soft = [&] { return softmax_attention(in.q, in.k, in.v, in.num_valid); };
  const auto linear = [&] { return linear_attention(in, config); };
  switch (gate_branches(r)) {
    case GateBranches::kSoftmax: return soft();
    case GateBranches::kLinear: return linear();
    case GateBranches::kBoth: break;
  }
  return mix_attention(soft(), linear(), r);
}

}  // namespace linden
