// Feature maps of linear attention: which positive function phi stands in for exp(q k / sqrt(D)).
//
// Each is a small config; the arithmetic is feature_map_block.h (fast) and reference/linear_attention.h (naive).
// `eps` is the same guard in all of them: the denominator phi(q) z is replaced by max(phi(q) z, eps n), n the number of
// valid tokens. Above that floor the result is exactly the formula; below it, it shrinks towards 0 and the gradient
// through the denominator is 0.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "core/config.h"

namespace linden {

// phi(x) = softmax(x W) (+) softmax(-x W), W [H, D, D] learned, apart for q and k; R = 2 D.
// Zhang et al. 2024 (arXiv 2402.04347). Denominator: every feature is positive and they sum to 2; only where q and all
// keys put their weight on different features by more than fp32's range (a factor of 1e-38) does the floor act.
struct HedgehogMapConfig {
  static constexpr const char* kType = "hedgehog";
  double eps = 1e-12;
};
// phi(x) = softmax(x) over D; R = D. Denominator: features are positive and sum to 1; underflow as for hedgehog.
struct SoftmaxMapConfig {
  static constexpr const char* kType = "softmax";
  double eps = 1e-12;
};
// phi(x) = x + 1 for x > 0, exp(x) else; R = D. Katharopoulos et al. 2020 (arXiv 2006.16236). Denominator: every feature
// is positive; those of x < -104 are 0 in fp32, and a q all of them below that meets the floor.
struct EluPlusOneMapConfig {
  static constexpr const char* kType = "elu_plus_one";
  double eps = 1e-12;
};
// phi(x) = max(x, 0); R = D. Denominator: nothing keeps it positive. It is 0 for a q (or keys) without a positive
// entry, so the floor belongs to the definition: the output of such a row is 0.
struct ReluMapConfig {
  static constexpr const char* kType = "relu";
  double eps = 1e-6;
};
// phi(x) = exp(x); R = D. Computed as phi(q) = softmax_D(q + c), phi(k) = exp(k - c) with c [B, H, D] the maximum of k over
// the valid tokens, per head and dimension: c cancels in each product, the softmax's sum (one number a row) in the ratio,
// so the result is exactly that of exp. A maximum of k per token would not cancel.
// Denominator: at least 1 / D, since the largest feature of q is that and some key has 1 in that dimension.
struct ExpMapConfig {
  static constexpr const char* kType = "exp";
  double eps = 1e-12;
};
// phi(x) = (1, u, u_i u_j c_ij for i <= j), u = x W, W [H, D, d] learned, apart for q and k, d <= 16; c_ii = 1/sqrt(2),
// else 1; R = 1 + d + d (d + 1) / 2. So phi(q) phi(k) = 1 + s + s^2 / 2 with s = u_q u_k: the second-order Taylor
// polynomial of exp. Denominator: 1 + s + s^2 / 2 = ((1 + s)^2 + 1) / 2 >= 1/2, so at least n / 2.
struct Taylor2MapConfig {
  static constexpr const char* kType = "taylor2";
  double eps = 1e-12;
  int64_t projected_dim = 16;  // d, for whoever makes W; the operator reads it from W's shape
};
void visit_fields(FieldVisitor& v, HedgehogMapConfig& c);
void visit_fields(FieldVisitor& v, SoftmaxMapConfig& c);
void visit_fields(FieldVisitor& v, EluPlusOneMapConfig& c);
void visit_fields(FieldVisitor& v, ReluMapConfig& c);
void visit_fields(FieldVisitor& v, ExpMapConfig& c);
void visit_fields(FieldVisitor& v, Taylor2MapConfig& c);

using FeatureMapConfig = std::variant<HedgehogMapConfig, SoftmaxMapConfig, EluPlusOneMapConfig, ReluMapConfig, ExpMapConfig, Taylor2MapConfig>;

constexpr int64_t kMaxProjectedDim = 16;  // of taylor2: R grows with its square

std::vector<std::string> feature_map_names();
// The map of that name; eps: its default unless given. Throws CheckError that lists the names.
FeatureMapConfig feature_map_of(const std::string& name, std::optional<double> eps = std::nullopt);
std::string feature_map_name(const FeatureMapConfig& map);
double feature_map_eps(const FeatureMapConfig& map);
// Whether the map has learned projections W of q and k.
bool has_projection(const FeatureMapConfig& map);
// R. projected_dim: the last size of W (hedgehog: D, taylor2: d), 0 for maps without W.
int64_t feature_dim(const FeatureMapConfig& map, int64_t head_dim, int64_t projected_dim);

}  // namespace linden
