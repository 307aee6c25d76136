#include "ops/adaptive_layer_norm.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/ranges.h>
#include <torch/csrc/autograd/custom_function.h>

#include <array>

#include "core/error.h"
#include "ops/adaptive_layer_norm_kernel.h"
#include "ops/linear_attention_kernels.h"

namespace linden {
namespace {

using torch::autograd::variable_list;
using Optional = std::optional<at::Tensor>;

Optional optional(const at::Tensor& x) { return x.defined() ? Optional(x) : std::nullopt; }
// [B, M] -> [B, 1, M] in `type`.
at::Tensor per_sample(const at::Tensor& x, at::ScalarType type) { return x.unsqueeze(1).to(type); }

// xh and 1 / sqrt(var + eps): [B, N, M], [B, N, 1].
std::pair<at::Tensor, at::Tensor> standardise(const at::Tensor& x, double eps) {
  const at::Tensor centred = x - x.mean(-1, true);
  const at::Tensor rstd = (centred * centred).mean(-1, true).add_(eps).rsqrt_();
  return {centred * rstd, rstd};
}

at::Tensor affine(const at::Tensor& normed, const at::Tensor& weight, const at::Tensor& bias) {
  const at::Tensor weighted = weight.defined() ? normed * weight.to(normed.scalar_type()) : normed;
  return bias.defined() ? weighted + bias.to(normed.scalar_type()) : weighted;
}

class AdaptiveLayerNormFunction : public torch::autograd::Function<AdaptiveLayerNormFunction> {
 public:
  static variable_list forward(torch::autograd::AutogradContext* context, const at::Tensor& residual, const Optional& branch, const Optional& gate,
                               const Optional& scale, const Optional& shift, const Optional& weight, const Optional& bias, double eps) {
    const at::AutoDispatchBelowADInplaceOrView below_autograd;
    const auto or_undefined = [](const Optional& t) { return t.value_or(at::Tensor()); };
    const AdaptiveLayerNormInputs in{
        residual, or_undefined(branch), or_undefined(gate), or_undefined(scale), or_undefined(shift), or_undefined(weight), or_undefined(bias)};
    context->set_materialize_grads(false);
    context->saved_data["eps"] = eps;
    const auto save = [&](const at::Tensor& x, const at::Tensor& statistics) {
      context->save_for_backward({x, in.branch, in.gate, in.scale, in.shift, in.weight, in.bias, statistics});
    };
    if (const auto result = adaptive_layer_norm_kernel(in, eps)) {
      save(result->out.residual, result->statistics);
      return {result->out.residual, result->out.normed};
    }
    const at::ScalarType type = accumulator_type(residual.scalar_type());
    at::Tensor x = residual.to(type);
    if (branch) x = x + (gate ? branch->to(type) * per_sample(*gate, type) : branch->to(type));
    x = x.to(residual.scalar_type());
    at::Tensor y = affine(standardise(x.to(type), eps).first, in.weight, in.bias);
    if (scale) y = y * (1 + per_sample(*scale, type));
    if (shift) y = y + per_sample(*shift, type);
    if (x.is_same(residual)) x = x.clone();  // an output of its own, also where nothing is added
    save(x, {});
    return {x, y.to(branch ? branch->scalar_type() : residual.scalar_type())};
  }

  static variable_list backward(torch::autograd::AutogradContext* context, variable_list grads) {
    check(!at::GradMode::is_enabled(), "adaptive_layer_norm: there is no second derivative; call backward without create_graph");
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &branch = saved[1], &gate = saved[2], &scale = saved[3], &shift = saved[4], &weight = saved[5], &bias = saved[6];
    if (saved[7].defined()) {
      const AdaptiveLayerNormInputs g = adaptive_layer_norm_kernel_backward({grads[0], grads[1]}, x, {{}, branch, gate, scale, shift, weight, bias}, saved[7]);
      return {g.residual, g.branch, g.gate, g.scale, g.shift, g.weight, g.bias, {}};
    }
    const at::ScalarType type = accumulator_type(x.scalar_type());
    const auto [normed, rstd] = standardise(x.to(type), context->saved_data["eps"].toDouble());
    const at::Tensor grad_y = grads[1].defined() ? grads[1].to(type) : at::zeros_like(normed);
    variable_list result(8);
    constexpr std::array<int64_t, 2> samples_and_tokens = {0, 1};
    if (shift.defined()) result[4] = grad_y.sum(1).to(shift.scalar_type());
    if (scale.defined()) result[3] = (grad_y * affine(normed, weight, bias)).sum(1).to(scale.scalar_type());
    const at::Tensor grad_affine = scale.defined() ? grad_y * (1 + per_sample(scale, type)) : grad_y;
    if (bias.defined()) result[6] = grad_affine.sum(samples_and_tokens).to(bias.scalar_type());
    if (weight.defined()) result[5] = (grad_affine * normed).sum(samples_and_tokens).to(weight.scalar_type());
    const at::Tensor g = weight.defined() ? grad_affine * weight.to(type) : grad_affine;
    at::Tensor grad_x = rstd * (g - g.mean(-1, true) - normed * (g * normed).mean(-1, true));
    if (grads[0].defined()) grad_x = grads[0].to(type) + grad_x;
    result[0] = grad_x.to(x.scalar_type());
    if (branch.defined()) result[1] = (gate.defined() ? grad_x * per_sample(gate, type) : grad_x).to(branch.scalar_type());
    if (gate.defined()) result[2] = (grad_x * branch.to(type)).sum(1).to(gate.scalar_type());
    return result;
  }
};

void check_shape(const char* name, const at::Tensor& x, at::IntArrayRef wanted, const at::Tensor& residual) {
  if (!x.defined()) return;
  check(x.sizes() == wanted, "adaptive_layer_norm: {} has shape {}, wanted {}", name, x.sizes(), wanted);
  check(x.device() == residual.device(), "adaptive_layer_norm: {} is on {}, wanted residual's device {}", name, x.device().str(), residual.device().str());
}

}  // namespace

AdaptiveLayerNormOutputs adaptive_layer_norm(const AdaptiveLayerNormInputs& in, double eps) {
  check(in.residual.defined() && in.residual.dim() == 3, "adaptive_layer_norm: residual has shape {}, wanted rank 3 [B, N, M]",
        in.residual.defined() ? in.residual.sizes() : at::IntArrayRef());
  const int64_t B = in.residual.size(0), M = in.residual.size(2);
  check_shape("branch", in.branch, in.residual.sizes(), in.residual);
  check_shape("gate", in.gate, {B, M}, in.residual);
  check_shape("scale", in.scale, {B, M}, in.residual);
  check_shape("shift", in.shift, {B, M}, in.residual);
  check_shape("weight", in.weight, {M}, in.residual);
  check_shape("bias", in.bias, {M}, in.residual);
  check(in.branch.defined() || !in.gate.defined(), "adaptive_layer_norm: gate is given without a branch");
  const variable_list out = AdaptiveLayerNormFunction::apply(in.residual, optional(in.branch), optional(in.gate), optional(in.scale), optional(in.shift),
                                                             optional(in.weight), optional(in.bias), eps);
  return {out[0], out[1]};
}

}  // namespace linden
