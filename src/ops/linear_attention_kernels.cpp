#include "ops/linear_attention_kernels.h"

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
  const std::string refusal = linear_attention_cuda_refusal(inputs, map, /*backward=*/false);
  report(inputs, map, false, refusal);
  return refusal.empty() ? linear_attention_forward_cuda(inputs, map) : linear_attention_forward_blocked(inputs, map);
}

LinearAttentionGradients linear_attention_backward(const at::Tensor& grad_out, const LinearAttentionInputs& inputs, const FeatureMapConfig& map,
                                                   const LinearAttentionForward& saved) {
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  const std::string refusal = linear_attention_cuda_refusal(inputs, map, /*backward=*/true);
  report(inputs, map, true, refusal);
  return refusal.empty() ? linear_attention_backward_cuda(grad_out, inputs, map, saved) : linear_attention_backward_blocked(grad_out, inputs, map, saved);
}

at::ScalarType accumulator_type(at::ScalarType dtype) { return dtype == at::kDouble ? at::kDouble : at::kFloat; }

}  // namespace linden
