#include "ops/reference/linear_attention.h"

#include <ATen/ATen.h>

#include <cmath>

namespace linden::reference {
namespace {

using at::Tensor;

// 1 where a token counts: [B, N] in x's dtype.
Tensor valid_mask(const LinearAttentionInputs& in) {
  const Tensor positions = at::arange(in.q.size(1), in.q.options().dtype(at::kLong)).unsqueeze(0);
  if (!in.num_valid.defined()) return at::ones({in.q.size(0), in.q.size(1)}, in.q.options());
  return positions.lt(in.num_valid.to(in.q.device()).unsqueeze(1)).to(in.q.scalar_type());
}

Tensor project(const Tensor& x, const Tensor& w) { return at::einsum("bnhd,hde->bnhe", {x, w.to(x.scalar_type())}); }

// ---- Quadratic form: weights [B, H, N, N].

struct Weights {
  const Tensor& q;  // [B, N, H, D]
  const Tensor& k;
  const Tensor &w_q, &w_k;

  static Tensor products(const Tensor& a, const Tensor& b) { return at::einsum("bnhr,bmhr->bhnm", {a, b}); }
  Tensor operator()(const HedgehogMapConfig&) const {
    const Tensor x = project(q, w_q), y = project(k, w_k);
    return products(x.softmax(-1), y.softmax(-1)) + products((-x).softmax(-1), (-y).softmax(-1));
  }
  Tensor operator()(const SoftmaxMapConfig&) const { return products(q.softmax(-1), k.softmax(-1)); }
  Tensor operator()(const EluPlusOneMapConfig&) const { return products(at::elu(q) + 1, at::elu(k) + 1); }
  Tensor operator()(const ReluMapConfig&) const { return products(q.clamp_min(0), k.clamp_min(0)); }
  // sum_d exp(q_nd + k_md), over the largest of row n so that it does not overflow: [B, H, N, N].
  Tensor operator()(const ExpMapConfig&) const {
    const Tensor logits = (q.transpose(1, 2).unsqueeze(3) + k.transpose(1, 2).unsqueeze(2)).logsumexp(-1);
    return (logits - logits.detach().amax(-1, true)).exp();
  }
  Tensor operator()(const Taylor2MapConfig&) const {
    const Tensor s = products(project(q, w_q), project(k, w_k));
    return 1 + s + s * s / 2;
  }
};

// ---- State form: features [B, N, H, R].

struct Features {
  const Tensor& x;  // [B, N, H, D]
  const Tensor& w;

  Tensor operator()(const HedgehogMapConfig&) const {
    const Tensor y = project(x, w);
    return at::cat({y.softmax(-1), y.neg().softmax(-1)}, -1);
  }
  Tensor operator()(const SoftmaxMapConfig&) const { return x.softmax(-1); }
  Tensor operator()(const EluPlusOneMapConfig&) const { return at::where(x > 0, x + 1, x.clamp_max(0).exp()); }
  Tensor operator()(const ReluMapConfig&) const { return at::relu(x); }
  Tensor operator()(const ExpMapConfig&) const { return x.exp(); }
  // All d x d products instead of the pairs i <= j: the same sum.
  Tensor operator()(const Taylor2MapConfig&) const {
    const Tensor u = project(x, w);
    const Tensor squares = (u.unsqueeze(-1) * u.unsqueeze(-2)).flatten(-2) * std::sqrt(0.5);
    return at::cat({at::ones_like(u.narrow(-1, 0, 1)), u, squares}, -1);
  }
};

}  // namespace

Tensor linear_attention_quadratic(const LinearAttentionInputs& in, const FeatureMapConfig& map) {
  const Tensor valid = valid_mask(in), columns = valid.unsqueeze(1).unsqueeze(1);         // [B, N], [B, 1, 1, N]
  const Tensor weights = std::visit(Weights{in.q, in.k, in.w_q, in.w_k}, map) * columns;  // [B, H, N, N]
  const Tensor least = feature_map_eps(map) * columns.sum(-1, true);
  const Tensor normalised = weights / at::maximum(weights.sum(-1, true), least.clamp_min(feature_map_eps(map)));
  return at::einsum("bhnm,bmhd->bnhd", {normalised, in.v}) * valid.unsqueeze(-1).unsqueeze(-1);
}

Tensor linear_attention_state(const LinearAttentionInputs& in, const FeatureMapConfig& map) {
  const Tensor valid = valid_mask(in).unsqueeze(-1).unsqueeze(-1);  // [B, N, 1, 1]
  // Without padding nothing is multiplied by 1: the expression is also what others are timed against.
  const auto masked = [&](const Tensor& x) { return in.num_valid.defined() ? x * valid : x; };
  const Tensor q = std::visit(Features{in.q, in.w_q}, map), k = masked(std::visit(Features{in.k, in.w_k}, map));
  const Tensor state = at::einsum("bnhr,bnhd->bhrd", {k, in.v}), sum = k.sum(1);  // [B, H, R, D], [B, H, R]
  const Tensor least = feature_map_eps(map) * valid.sum(1, true).clamp_min(1);
  const Tensor denominator = at::einsum("bnhr,bhr->bnh", {q, sum}).unsqueeze(-1);
  return masked(at::einsum("bnhr,bhrd->bnhd", {q, state}) / at::maximum(denominator, least));
}

}  // namespace linden::reference
