#include "nn/self_attention.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/linalg_qr.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <fmt/ranges.h>

#include <cmath>

#include <utility>

#include "core/error.h"
#include "nn/keeps_fp32.h"
#include "nn/module_path.h"
#include "nn/stage.h"
#include "nn/trace.h"
#include "ops/gated_attention.h"

namespace linden {

std::vector<std::string> attention_kind_names() { return {"softmax", "linear", "gated"}; }

AttentionKind attention_kind_of(const std::string& name) {
  if (name == "softmax") return AttentionKind::kSoftmax;
  if (name == "linear") return AttentionKind::kLinear;
  check(name == "gated", "attention kind is \"{}\", wanted one of {}", name, fmt::join(attention_kind_names(), ", "));
  return AttentionKind::kGated;
}

SelfAttentionImpl::SelfAttentionImpl(const SelfAttentionOptions& options) : options_(options), running_kind_(options.kind) {
  const int64_t M = options.num_heads * options.head_dim;
  to_q = register_module("to_q", Linear(M, M));
  to_k = register_module("to_k", Linear(M, M));
  to_v = register_module("to_v", Linear(M, M));
  out_projection_ = Linear(M, M);
  register_under_path(*this, "to_out.0", out_projection_);
  norm_q = register_module("norm_q", HeadRmsNorm(options.num_heads, options.head_dim, options.norm_eps));
  norm_k = register_module("norm_k", HeadRmsNorm(options.num_heads, options.head_dim, options.norm_eps));
  if (options.kind != AttentionKind::kSoftmax) register_feature_map();
  if (options.kind == AttentionKind::kGated) gate_ = register_parameter("gate", at::ones({1}));
}

void SelfAttentionImpl::register_feature_map() {
  if (!has_projection(options_.feature_map)) return;
  const int64_t H = options_.num_heads, D = options_.head_dim;
  at::Tensor start;  // [H, D, P]
  if (const auto* taylor = std::get_if<Taylor2MapConfig>(&options_.feature_map)) {
    const at::Tensor columns = std::get<0>(at::linalg_qr(at::randn({H, D, taylor->projected_dim})));
    start = columns * std::pow(static_cast<double>(D), -0.25);
  } else {
    start = at::eye(D).expand({H, D, D});
  }
  phi_q_ = register_parameter("phi_q", start.clone(at::MemoryFormat::Contiguous));
  phi_k_ = register_parameter("phi_k", start.clone(at::MemoryFormat::Contiguous));
}

void SelfAttentionImpl::freeze() {
  const at::NoGradGuard no_grad;
  const int64_t M = to_q->weight.size(1);
  frozen_weight_ = at::cat({to_q->weight, to_k->weight, to_v->weight}).detach();
  frozen_bias_ = at::cat({to_q->bias, to_k->bias, to_v->bias}).detach();
  int64_t first = 0;
  for (Linear* projection : {&to_q, &to_k, &to_v}) {
    (*projection)->weight.set_data(frozen_weight_.narrow(0, first, M));
    (*projection)->bias.set_data(frozen_bias_.narrow(0, first, M));
    first += M;
  }
  if (!gate_.defined()) return;
  switch (gate_branches(gate_)) {
    case GateBranches::kSoftmax: running_kind_ = AttentionKind::kSoftmax; break;
    case GateBranches::kLinear: running_kind_ = AttentionKind::kLinear; break;
    case GateBranches::kBoth: running_kind_ = AttentionKind::kGated; break;
  }
}

void SelfAttentionImpl::run_as(AttentionKind kind) {
  check(options_.kind == AttentionKind::kGated, "SelfAttention::run_as: this mixer has no gate");
  running_kind_ = kind;
  both_branches_ = kind == AttentionKind::kGated;
}

void SelfAttentionImpl::match_outputs(bool on) {
  check(!on || options_.kind == AttentionKind::kGated, "SelfAttention::match_outputs: this mixer has no gate");
  matches_outputs_ = on;
  output_error_ = at::Tensor();
}

at::Tensor SelfAttentionImpl::take_output_error() {
  check(output_error_.defined(), "SelfAttention::take_output_error: no forward pass since match_outputs");
  return std::exchange(output_error_, {});
}

at::Tensor SelfAttentionImpl::mix(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  // q, k and v have autocast's dtype already; softmax attention would cast them again.
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  if (running_kind_ == AttentionKind::kSoftmax && !matches_outputs_) return softmax_attention(q, k, v, {});
  const LinearAttentionInputs inputs{q, k, v, phi_q_, phi_k_, {}};
  const LinearAttentionConfig config{options_.feature_map};
  if (matches_outputs_) {
    const at::Tensor soft = softmax_attention(q, k, v, {}).detach();
    const LinearAttentionInputs constant{q.detach(), k.detach(), v.detach(), phi_q_, phi_k_, {}};
    const at::Tensor wanted = soft.to(at::kFloat);
    output_error_ = (linear_attention(constant, config).to(at::kFloat) - wanted).square().sum() / wanted.square().sum();
    return soft;
  }
  if (running_kind_ == AttentionKind::kLinear) return linear_attention(inputs, config);
  if (both_branches_) return mix_attention(softmax_attention(q, k, v, {}), linear_attention(inputs, config), gate_);
  return gated_attention(inputs, config, gate_);
}

at::Tensor SelfAttentionImpl::forward(const at::Tensor& x, const RotaryTable& table) {
  begin_stage("qkv");
  at::Tensor q, k, v;  // [B, N, M]
  if (frozen_weight_.defined()) {
    const std::vector<at::Tensor> all = at::linear(x, frozen_weight_, frozen_bias_).chunk(3, -1);
    q = all[0], k = all[1], v = all[2];
  } else {
    q = to_q(x), k = to_k(x), v = to_v(x);
  }
  begin_stage("norm_rotary");
  const at::Tensor queries = norm_q(q, table), keys = norm_k(k, table);  // [B, N, H, D]
  begin_stage(running_kind_ == AttentionKind::kSoftmax  ? "softmax_attention"
              : running_kind_ == AttentionKind::kLinear ? "linear_attention"
                                                        : "gated_attention");
  const at::Tensor mixed = mix(queries, keys, v.unflatten(-1, {options_.num_heads, options_.head_dim}));
  begin_stage("self_output");
  const at::Tensor out = out_projection_(mixed.flatten(2));
  linden::trace(out);
  return out;
}

void SelfAttentionImpl::to(torch::Device device, torch::Dtype dtype, bool non_blocking) {
  convert_but_keep_fp32(gate_, [&] { torch::nn::Module::to(device, dtype, non_blocking); });
}

void SelfAttentionImpl::to(torch::Dtype dtype, bool non_blocking) {
  convert_but_keep_fp32(gate_, [&] { torch::nn::Module::to(dtype, non_blocking); });
}

}  // namespace linden
