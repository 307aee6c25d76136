#include "ops/linear_attention_kernels.h"

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <fmt/format.h>

#include <mutex>
#include <set>
#include <string>

#include "ops/linear_attention_blocked.h"
#include "ops/linear_attention_cuda.h"
#include "ops/linear_attention_report.h"

namespace linden {
namespace {

// The kernels' bf16 rounds S to bf16. Over fewer tokens than this that shows in gradients, and in taylor2, whose features cancel; and a call
// costs its launches, not its arithmetic. So fp32 does it.
constexpr int64_t kFewTokens = 64;

bool wants_fp32(const LinearAttentionInputs& in) { return in.q.is_cuda() && in.q.scalar_type() == at::kBFloat16 && in.q.size(1) < kFewTokens; }

LinearAttentionInputs in_fp32(const LinearAttentionInputs& in) {
  const auto widen = [](const at::Tensor& x) { return x.defined() ? x.to(at::kFloat) : x; };
  return {widen(in.q), widen(in.k), widen(in.v), widen(in.w_q), widen(in.w_k), in.num_valid};
}

// What runs is said once for every device, dtype, map and head dim; on a CUDA device a fallback is a warning.
void report(const LinearAttentionInputs& in, const FeatureMapConfig& map, bool backward, const std::string& refusal) {
  static std::mutex mutex;
  static std::set<std::string> told;
  const std::string pass = backward ? "backward" : "forward";
  const std::string problem = fmt::format("linear attention {} ({}, {}, head dim {}, {})", pass, feature_map_name(map), c10::toString(in.q.scalar_type()),
                                          in.q.size(3), in.q.device().str());
  const std::lock_guard lock(mutex);
  if (!told.insert(problem).second) return;
  if (refusal.empty()) return report_linear_attention(problem + ": generic CUDA kernels", false);
  if (in.q.is_cuda() && in.q.scalar_type() != at::kDouble)
    return report_linear_attention(fmt::format("{}: blocks of tensor operations, because {}", problem, refusal), true);
  report_linear_attention(problem + ": blocks of tensor operations", false);
}

}  // namespace

// The dispatch. The generic kernels come first; what they do not take runs in blocks of tensor operations. Sums are in the
// accumulator dtype on purpose: autocast would cast their operands one by one.
LinearAttentionForward linear_attention_forward(const LinearAttentionInputs& inputs, const FeatureMapConfig& map) {
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  if (wants_fp32(inputs)) {
    LinearAttentionForward result = linear_attention_forward(in_fp32(inputs), map);
    result.out = result.out.to(inputs.q.scalar_type());
    return result;
  }
  const std::string refusal = linear_attention_cuda_refusal(inputs, map, /*backward=*/false);
  report(inputs, map, false, refusal);
  return refusal.empty() ? linear_attention_forward_cuda(inputs, map) : linear_attention_forward_blocked(inputs, map);
}

LinearAttentionGradients linear_attention_backward(const at::Tensor& grad_out, const LinearAttentionInputs& inputs, const FeatureMapConfig& map,
                                                   const LinearAttentionForward& saved) {
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  if (wants_fp32(inputs)) {
    const LinearAttentionGradients g = linear_attention_backward(grad_out.to(at::kFloat), in_fp32(inputs), map, saved);
    const auto narrow = [](const at::Tensor& x, const at::Tensor& like) { return x.defined() ? x.to(like.scalar_type()) : x; };
    return {narrow(g.q, inputs.q), narrow(g.k, inputs.k), narrow(g.v, inputs.v), narrow(g.w_q, inputs.w_q), narrow(g.w_k, inputs.w_k)};
  }
  const std::string refusal = linear_attention_cuda_refusal(inputs, map, /*backward=*/true);
  report(inputs, map, true, refusal);
  return refusal.empty() ? linear_attention_backward_cuda(grad_out, inputs, map, saved) : linear_attention_backward_blocked(grad_out, inputs, map, saved);
}

at::ScalarType accumulator_type(at::ScalarType dtype) { return dtype == at::kDouble ? at::kDouble : at::kFloat; }

}  // namespace linden
