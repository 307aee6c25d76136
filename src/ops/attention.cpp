#include "ops/attention.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/device.h"
#include "core/error.h"
#include "core/logging.h"
#include "ops/attention_measure.h"

#ifdef LINDEN_HAS_CUDA
#include <c10/cuda/CUDAGraphsC10Utils.h>
#endif

namespace linden {
namespace {

void check_operands(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& num_valid) {
  check(q.dim() == 4, "softmax_attention: q has shape {}, wanted rank 4 [B, N, H, D]", q.sizes());
  const std::vector<int64_t> wanted = {q.size(0), k.dim() == 4 ? k.size(1) : q.size(1), q.size(2), q.size(3)};
  for (const auto& [name, x] : {std::pair{"k", &k}, {"v", &v}}) {
    check(x->sizes() == wanted, "softmax_attention: {} has shape {}, wanted [{}]", name, x->sizes(), fmt::join(wanted, ", "));
    check(x->scalar_type() == q.scalar_type() && x->device() == q.device(), "softmax_attention: {} is {} on {}, wanted q's {} on {}", name,
          c10::toString(x->scalar_type()), x->device().str(), c10::toString(q.scalar_type()), q.device().str());
  }
  if (!num_valid.defined()) return;
  check(num_valid.dim() == 1 && num_valid.size(0) == q.size(0), "softmax_attention: num_valid has shape {}, wanted [B] = [{}]", num_valid.sizes(), q.size(0));
  check(k.size(1) == q.size(1), "softmax_attention: num_valid is for self-attention, but there are {} queries and {} keys", q.size(1), k.size(1));
}

bool is_capturing(const at::Tensor& q) {
#ifdef LINDEN_HAS_CUDA
  return q.is_cuda() && c10::cuda::currentStreamCaptureStatusMayInitCtx() != c10::cuda::CaptureStatus::None;
#else
  return false;
#endif
}

// nullopt: LibTorch decides.
std::optional<AttentionBackend> choose(const AttentionShape& shape, const AttentionOperands& operands, AttentionChoices& choices) {
  if (const auto known = choices.find(shape)) return known;
  if (is_capturing(operands.q)) {
    log_warning("{}: not measured before a CUDA graph is captured, so LibTorch chooses the back-end; run the shape once before the capture",
                description_of(shape));
    return std::nullopt;
  }
  const AttentionMeasurement measurement = measure_attention(operands, shape.gradient);
  if (measurement.microseconds.empty())
    throw std::runtime_error(fmt::format("{}: no back-end takes it: {}", description_of(shape), description_of(measurement)));
  choices.add(shape, measurement);
  const auto chosen = choices.find(shape);
  log_info("{}: {} runs ({})", description_of(shape), name_of(*chosen), description_of(measurement));
  return chosen;
}

at::Tensor attend(const AttentionOperands& operands, const AttentionShape& shape, AttentionChoices& choices) {
  if (operands.q.is_cuda() && operands.q.numel() > 0)
    if (const auto backend = choose(shape, operands, choices)) return attention_by(*backend, operands);
  return at::scaled_dot_product_attention(operands.q, operands.k, operands.v, operands.mask.defined() ? std::optional(operands.mask) : std::nullopt);
}

}  // namespace

AttentionShape attention_shape_of(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& num_valid) {
  const bool gradient = at::GradMode::is_enabled() && (q.requires_grad() || k.requires_grad() || v.requires_grad());
  return {device_name(q.device()), c10::toString(q.scalar_type()), q.size(0), q.size(1), k.size(1), q.size(2), q.size(3), gradient, num_valid.defined()};
}

at::Tensor softmax_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& num_valid, AttentionChoices& choices) {
  check_operands(q, k, v, num_valid);
  const auto heads_first = [](const at::Tensor& x) { return x.transpose(1, 2); };
  const AttentionShape shape = q.is_cuda() ? attention_shape_of(q, k, v, num_valid) : AttentionShape{};
  AttentionOperands operands{heads_first(q), heads_first(k), heads_first(v), {}};
  if (!num_valid.defined()) return attend(operands, shape, choices).transpose(1, 2);
  const at::Tensor positions = at::arange(q.size(1), num_valid.options().device(q.device())), counts = num_valid.to(q.device()).unsqueeze(1);
  // A sample without valid tokens attends to its first one: its rows are zeroed anyway, and an empty softmax is NaN.
  const at::Tensor attended = positions.lt(counts.clamp_min(1));  // [B, N]
  operands.mask = attended.unsqueeze(1).unsqueeze(1).expand({q.size(0), 1, q.size(1), q.size(1)});
  return attend(operands, shape, choices).transpose(1, 2).masked_fill(positions.ge(counts).unsqueeze(-1).unsqueeze(-1), 0);
}

}  // namespace linden
