#include "ops/feature_map_block.h"

#include <ATen/ATen.h>

#include <cmath>

namespace linden {
namespace {

// The pairs i <= j of d projected dimensions. They are picked by products with matrices of zeros and ones, which are exact
// and several times faster than index_select along the last dimension.
struct Pairs {
  explicit Pairs(const at::Tensor& u) {
    const int64_t d = u.size(-1);
    const at::Tensor indices = at::triu_indices(d, d, 0, u.options().dtype(at::kLong));  // [2, d (d + 1) / 2]
    const at::Tensor one_hot = at::one_hot(indices, d).to(u.scalar_type());
    first = one_hot[0].t();
    second = one_hot[1].t();
    factor = at::ones({indices.size(1)}, u.options()).masked_fill_(indices[0].eq(indices[1]), std::sqrt(0.5));
  }
  at::Tensor first, second;  // [d, pairs]: column p has its 1 at i_p, at j_p
  at::Tensor factor;         // [pairs]: c_ij
};

at::Tensor softmax_gradient(const at::Tensor& grad, const at::Tensor& output) { return at::_softmax_backward_data(grad, output, -1, output.scalar_type()); }

at::Tensor projected_gradient(const at::Tensor& x, const at::Tensor& w, const at::Tensor& grad_y, at::Tensor& grad_w) {
  grad_w.baddbmm_(x.transpose(1, 2), grad_y);
  return at::bmm(grad_y, w.transpose(1, 2));
}

at::Tensor features(const HedgehogMapConfig&, const at::Tensor& x, const at::Tensor& w) {
  const at::Tensor y = at::bmm(x, w);
  return at::cat({at::softmax(y, -1), at::softmax(y.neg(), -1)}, -1);
}
at::Tensor gradient(const HedgehogMapConfig&, const at::Tensor& x, const at::Tensor& w, const at::Tensor& phi, const at::Tensor& grad_phi, at::Tensor& grad_w) {
  const std::vector<at::Tensor> halves = phi.chunk(2, -1), grads = grad_phi.chunk(2, -1);
  const at::Tensor grad_y = softmax_gradient(grads[0], halves[0]).sub_(softmax_gradient(grads[1], halves[1]));
  return projected_gradient(x, w, grad_y, grad_w);
}

// x [H, T, D] of inputs lies in memory as [T, H, D], and softmax would first copy a transposed tensor.
at::Tensor softmax_as_it_lies(const at::Tensor& x) { return at::softmax(x.transpose(0, 1), -1).transpose(0, 1); }

at::Tensor features(const SoftmaxMapConfig&, const at::Tensor& x, const at::Tensor&) { return softmax_as_it_lies(x); }
at::Tensor gradient(const SoftmaxMapConfig&, const at::Tensor&, const at::Tensor&, const at::Tensor& phi, const at::Tensor& grad_phi, at::Tensor&) {
  return softmax_gradient(grad_phi, phi);
}

// exp(min(x, 0)) + max(x, 0): one of the two terms is 1 or 0.
at::Tensor features(const EluPlusOneMapConfig&, const at::Tensor& x, const at::Tensor&) { return x.clamp_max(0).exp_().add_(x.clamp_min(0)); }
at::Tensor gradient(const EluPlusOneMapConfig&, const at::Tensor&, const at::Tensor&, const at::Tensor& phi, const at::Tensor& grad_phi, at::Tensor&) {
  return phi.clamp_max(1).mul_(grad_phi);
}

at::Tensor features(const ReluMapConfig&, const at::Tensor& x, const at::Tensor&) { return at::relu(x); }
at::Tensor gradient(const ReluMapConfig&, const at::Tensor&, const at::Tensor&, const at::Tensor& phi, const at::Tensor& grad_phi, at::Tensor&) {
  return at::threshold_backward(grad_phi, phi, 0);
}

at::Tensor features(const ExpMapConfig&, const at::Tensor& x, const at::Tensor&) { return at::exp(x); }
at::Tensor gradient(const ExpMapConfig&, const at::Tensor&, const at::Tensor&, const at::Tensor& phi, const at::Tensor& grad_phi, at::Tensor&) {
  return grad_phi * phi;
}

at::Tensor features(const Taylor2MapConfig&, const at::Tensor& x, const at::Tensor& w) {
  const at::Tensor u = at::bmm(x, w);
  const Pairs pairs(u);
  const at::Tensor products = at::matmul(u, pairs.first).mul_(at::matmul(u, pairs.second)).mul_(pairs.factor);
  return at::cat({at::ones({u.size(0), u.size(1), 1}, u.options()), u, products}, -1);
}
at::Tensor gradient(const Taylor2MapConfig&, const at::Tensor& x, const at::Tensor& w, const at::Tensor& phi, const at::Tensor& grad_phi, at::Tensor& grad_w) {
  const int64_t d = w.size(2);
  const at::Tensor u = phi.narrow(2, 1, d);
  const Pairs pairs(u);
  const at::Tensor grad_products = grad_phi.narrow(2, 1 + d, phi.size(2) - 1 - d) * pairs.factor;
  const at::Tensor grad_first = at::matmul(grad_products * at::matmul(u, pairs.second), pairs.first.t());
  const at::Tensor grad_second = at::matmul(grad_products * at::matmul(u, pairs.first), pairs.second.t());
  const at::Tensor grad_u = grad_phi.narrow(2, 1, d) + grad_first + grad_second;
  return projected_gradient(x, w, grad_u, grad_w);
}

at::Tensor features_of(const FeatureMapConfig& map, const at::Tensor& x, const at::Tensor& w) {
  return std::visit([&](const auto& c) { return features(c, x, w); }, map);
}

}  // namespace

at::Tensor query_features(const FeatureMapConfig& map, const at::Tensor& x, const at::Tensor& w, const at::Tensor& key_shift) {
  return std::holds_alternative<ExpMapConfig>(map) ? softmax_as_it_lies(x + key_shift) : features_of(map, x, w);
}

at::Tensor key_features(const FeatureMapConfig& map, const at::Tensor& x, const at::Tensor& w, const at::Tensor& key_shift) {
  return std::holds_alternative<ExpMapConfig>(map) ? (x - key_shift).exp_() : features_of(map, x, w);
}

at::Tensor feature_gradient(const FeatureMapConfig& map, const at::Tensor& x, const at::Tensor& w, const at::Tensor& phi, const at::Tensor& grad_phi,
                            at::Tensor& grad_w) {
  return std::visit([&](const auto& c) { return gradient(c, x, w, phi, grad_phi, grad_w); }, map);
}

}  // namespace linden
