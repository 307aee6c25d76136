#include "ops/linear_attention.h"

#include <ATen/ATen.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "core/error.h"
#include "ops/linear_attention_blocked.h"
#include "ops/linear_attention_function.h"

namespace linden {
namespace {

constexpr std::array<int64_t, 4> kHeadDims = {32, 64, 96, 128};

struct Dispatched {
  static LinearAttentionForward forward(const LinearAttentionInputs& in, const FeatureMapConfig& map) { return linear_attention_forward(in, map); }
  static LinearAttentionGradients backward(const at::Tensor& grad_out, const LinearAttentionInputs& in, const FeatureMapConfig& map,
                                           const LinearAttentionForward& saved) {
    return linear_attention_backward(grad_out, in, map, saved);
  }
};

void check_activation(const char* name, const at::Tensor& x, const at::Tensor& q) {
  check(x.defined(), "linear_attention: {} is undefined, wanted [B, N, H, D]", name);
  check(x.dim() == 4, "linear_attention: {} has shape {}, wanted rank 4 [B, N, H, D]", name, x.sizes());
  check(x.sizes() == q.sizes(), "linear_attention: {} has shape {}, wanted q's {}", name, x.sizes(), q.sizes());
  check(x.device() == q.device(), "linear_attention: {} is on {}, wanted q's device {}", name, x.device().str(), q.device().str());
  check(x.scalar_type() == q.scalar_type(), "linear_attention: {} is {}, wanted q's dtype {}", name, c10::toString(x.scalar_type()),
        c10::toString(q.scalar_type()));
}

void check_query(const at::Tensor& q) {
  check_activation("q", q, q);
  check(std::ranges::all_of(q.sizes(), [](int64_t size) { return size > 0; }), "linear_attention: q has shape {}, wanted at least one sample, token and head",
        q.sizes());
  check(std::ranges::find(kHeadDims, q.size(3)) != kHeadDims.end(), "linear_attention: q has head dim {}, allowed: {}", q.size(3), fmt::join(kHeadDims, ", "));
  const at::ScalarType dtype = q.scalar_type();
  check(dtype == at::kFloat || dtype == at::kBFloat16 || dtype == at::kHalf || dtype == at::kDouble,
        "linear_attention: q is {}, allowed: Float, BFloat16, Half, Double", c10::toString(dtype));
}

void check_projection(const char* name, const at::Tensor& w, const at::Tensor& q, const FeatureMapConfig& map) {
  if (!has_projection(map)) {
    check(!w.defined(), "linear_attention: {} is given, but the feature map {} has no projection; leave it out", name, feature_map_name(map));
    return;
  }
  const bool square = std::holds_alternative<HedgehogMapConfig>(map);
  const int64_t H = q.size(2), D = q.size(3);
  const std::string wanted = square ? fmt::format("[H, D, D] = [{}, {}, {}]", H, D, D) : fmt::format("[H, D, d] = [{}, {}, 1..{}]", H, D, kMaxProjectedDim);
  check(w.defined(), "linear_attention: {} is missing, the feature map {} wants {}", name, feature_map_name(map), wanted);
  const bool fits = w.dim() == 3 && w.size(0) == H && w.size(1) == D && (square ? w.size(2) == D : w.size(2) >= 1 && w.size(2) <= kMaxProjectedDim);
  check(fits, "linear_attention: {} has shape {}, the feature map {} wants {}", name, w.sizes(), feature_map_name(map), wanted);
  check(w.device() == q.device(), "linear_attention: {} is on {}, wanted q's device {}", name, w.device().str(), q.device().str());
  const at::ScalarType accumulator = accumulator_type(q.scalar_type());
  check(w.scalar_type() == q.scalar_type() || w.scalar_type() == accumulator, "linear_attention: {} is {}, wanted q's dtype {} or {}", name,
        c10::toString(w.scalar_type()), c10::toString(q.scalar_type()), c10::toString(accumulator));
}

void check_num_valid(const at::Tensor& num_valid, const at::Tensor& q, bool look_at_values) {
  if (!num_valid.defined()) return;
  const int64_t B = q.size(0), N = q.size(1);
  check(num_valid.dim() == 1 && num_valid.size(0) == B, "linear_attention: num_valid has shape {}, wanted [B] = [{}]", num_valid.sizes(), B);
  check(num_valid.scalar_type() == at::kLong, "linear_attention: num_valid is {}, wanted Long", c10::toString(num_valid.scalar_type()));
  if (!look_at_values) return;
  const at::Tensor counts = num_valid.cpu();
  for (int64_t b = 0; b < B; ++b) {
    const int64_t count = counts[b].item<int64_t>();
    check(count >= 0 && count <= N, "linear_attention: num_valid[{}] is {}, allowed: 0..N = 0..{}", b, count, N);
  }
}

void check_denominators(const LinearAttentionInputs& in, const FeatureMapConfig& map) {
  const at::AutoDispatchBelowADInplaceOrView below_autograd;
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  const at::Tensor denominators = linear_attention_denominators(in, map, linear_attention_forward(in, map));
  const at::Tensor faults = at::isfinite(denominators).logical_not().nonzero().cpu();
  if (faults.size(0) == 0) return;
  const auto index = [&](int64_t i) { return faults[0][i].item<int64_t>(); };
  check(false,
        "linear_attention: the denominator of sample {}, token {}, head {} is {}, wanted a finite number ({} of {} are not; feature map {}); "
        "look for inf and NaN in q, k and w, or values whose features leave fp32's range",
        index(0), index(1), index(2), denominators[index(0)][index(1)][index(2)].item<double>(), faults.size(0), denominators.numel(), feature_map_name(map));
}

}  // namespace

void visit_fields(FieldVisitor& v, LinearAttentionConfig& c) {
  visit(v, Field("feature_map", "phi of q and k"), c.feature_map);
  visit(v, Field("check_finite", "one more pass over q that stops where a denominator is inf or NaN").changeable(), c.check_finite);
}

void check_linear_attention(const LinearAttentionInputs& in, const FeatureMapConfig& map, bool look_at_values) {
  check_query(in.q);
  check_activation("k", in.k, in.q);
  check_activation("v", in.v, in.q);
  check_projection("w_q", in.w_q, in.q, map);
  check_projection("w_k", in.w_k, in.q, map);
  if (has_projection(map)) check(in.w_q.sizes() == in.w_k.sizes(), "linear_attention: w_k has shape {}, wanted w_q's {}", in.w_k.sizes(), in.w_q.sizes());
  check_num_valid(in.num_valid, in.q, look_at_values);
}

at::Tensor linear_attention(const LinearAttentionInputs& in, const LinearAttentionConfig& config) {
  // Counts that lie on a CUDA device are not waited for; the kernels clamp them to 0 .. N.
  check_linear_attention(in, config.feature_map, config.check_finite || !in.num_valid.defined() || in.num_valid.is_cpu());
  if (config.check_finite) check_denominators(in, config.feature_map);
  return LinearAttentionFunction<Dispatched>::apply(in.q, in.k, in.v, or_nullopt(in.w_q), or_nullopt(in.w_k), or_nullopt(in.num_valid), config.feature_map);
}

}  // namespace linden
