#include "ops/group_norm_silu.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/ranges.h>

#include <optional>

#include "core/error.h"

#ifdef LINDEN_HAS_CUDA
#include <ATen/cuda/CUDAContext.h>
#include <c10/cuda/CUDAGuard.h>
#include <torch/csrc/autograd/custom_function.h>

#include "csrc/cuda/group_norm_silu/config.h"
#include "csrc/cuda/group_norm_silu/launch.h"
#include "ops/float_type.h"
#endif

namespace linden {
namespace {

void check_arguments(const at::Tensor& x, const at::Tensor& shift, const at::Tensor& weight, const at::Tensor& bias, const GroupNormOptions& options) {
  check(x.dim() == 4, "group_norm_silu: x is [{}], wanted [B, C, Y, X]", fmt::join(x.sizes(), ", "));
  const int64_t B = x.size(0), C = x.size(1);
  check(options.num_groups > 0 && C % options.num_groups == 0, "group_norm_silu: {} channels do not split into {} groups", C, options.num_groups);
  for (const auto& [name, tensor] : {std::pair{"weight", &weight}, {"bias", &bias}})
    check(tensor->dim() == 1 && tensor->size(0) == C && tensor->device() == x.device(), "group_norm_silu: {} is [{}] on {}, wanted [{}] on {}", name,
          fmt::join(tensor->sizes(), ", "), tensor->device().str(), C, x.device().str());
  check(!shift.defined() || (shift.dim() == 2 && shift.size(0) == B && shift.size(1) == C && shift.device() == x.device()),
        "group_norm_silu: shift is [{}], wanted [{}, {}] on x's device", shift.defined() ? fmt::format("{}", fmt::join(shift.sizes(), ", ")) : "", B, C);
}

#ifdef LINDEN_HAS_CUDA

bool kernel_takes(const at::Tensor& x, const at::Tensor& shift, const at::Tensor& weight, const at::Tensor& bias, const GroupNormOptions& options) {
  const auto type = x.scalar_type();
  return is_on_card(x) && x.is_contiguous(at::MemoryFormat::ChannelsLast) && x.numel() > 0 && is_vector_aligned(x) && is_kernel_float(type) &&
         weight.scalar_type() == type && bias.scalar_type() == type && weight.is_contiguous() && bias.is_contiguous() &&
         (!shift.defined() || (shift.scalar_type() == type && shift.stride(1) == 1)) && x.size(0) <= 65535 &&
         x.size(1) / options.num_groups <= cuda::kMaxGroupSize;
}

// statistics: [2, B, G] fp32, mean and 1 / deviation, or undefined.
at::Tensor run_forward(const at::Tensor& x, const at::Tensor& shift, const at::Tensor& weight, const at::Tensor& bias, const GroupNormOptions& options,
                       const at::Tensor& statistics) {
  const c10::cuda::CUDAGuard guard(x.device());
  at::Tensor y = at::empty_like(x, at::MemoryFormat::ChannelsLast);
  C10_CUDA_CHECK(cuda::launch_group_norm_silu({
      .x = x.const_data_ptr(),
      .shift = shift.defined() ? shift.const_data_ptr() : nullptr,
      .shift_stride = shift.defined() ? shift.stride(0) : 0,
      .weight = weight.const_data_ptr(),
      .bias = bias.const_data_ptr(),
      .y = y.mutable_data_ptr(),
      .mean = statistics.defined() ? statistics.mutable_data_ptr<float>() : nullptr,
      .rstd = statistics.defined() ? statistics[1].mutable_data_ptr<float>() : nullptr,
      .batch = x.size(0),
      .pixels = x.size(2) * x.size(3),
      .channels = static_cast<int>(x.size(1)),
      .groups = static_cast<int>(options.num_groups),
      .eps = static_cast<float>(options.eps),
      .silu = options.silu,
      .type = kernel_float(x.scalar_type()),
      .stream = at::cuda::getCurrentCUDAStream(),
  }));
  return y;
}

class GroupNormSilu : public torch::autograd::Function<GroupNormSilu> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, const std::optional<at::Tensor>& maybe_shift,
                            const at::Tensor& weight, const at::Tensor& bias, const GroupNormOptions& options) {
    const at::Tensor shift = maybe_shift.value_or(at::Tensor());
    const at::Tensor statistics = at::empty({2, x.size(0), options.num_groups}, x.options().dtype(at::kFloat).memory_format(at::MemoryFormat::Contiguous));
    context->save_for_backward({x, shift, weight, bias, statistics});
    context->saved_data["num_groups"] = options.num_groups;
    context->saved_data["silu"] = options.silu;
    return run_forward(x, shift, weight, bias, options, statistics);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, torch::autograd::variable_list grads) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &shift = saved[1], &weight = saved[2], &bias = saved[3], &statistics = saved[4];
    const at::Tensor grad_y = grads[0].contiguous(at::MemoryFormat::ChannelsLast);
    const c10::cuda::CUDAGuard guard(x.device());
    const int64_t B = x.size(0), C = x.size(1);
    const size_t weight_edge = shift.defined() ? 2 : 1;  // edges count defined inputs only
    const bool for_shift = shift.defined() && context->needs_input_grad(1);
    const bool for_weights = context->needs_input_grad(weight_edge) || context->needs_input_grad(weight_edge + 1);
    const at::TensorOptions fp32 = x.options().dtype(at::kFloat).memory_format(at::MemoryFormat::Contiguous);
    at::Tensor grad_x = at::empty_like(x, at::MemoryFormat::ChannelsLast), grad_shift, rows;
    if (for_shift) grad_shift = at::empty({B, C}, fp32);
    if (for_weights) rows = at::empty({2, B, C}, fp32);
    C10_CUDA_CHECK(cuda::launch_group_norm_silu_backward({
        .grad_y = grad_y.const_data_ptr(),
        .x = x.const_data_ptr(),
        .shift = shift.defined() ? shift.const_data_ptr() : nullptr,
        .shift_stride = shift.defined() ? shift.stride(0) : 0,
        .weight = weight.const_data_ptr(),
        .bias = bias.const_data_ptr(),
        .mean = statistics.const_data_ptr<float>(),
        .rstd = statistics[1].const_data_ptr<float>(),
        .grad_x = grad_x.mutable_data_ptr(),
        .grad_shift = for_shift ? grad_shift.mutable_data_ptr<float>() : nullptr,
        .grad_weight_rows = for_weights ? rows.mutable_data_ptr<float>() : nullptr,
        .grad_bias_rows = for_weights ? rows[1].mutable_data_ptr<float>() : nullptr,
        .batch = B,
        .pixels = x.size(2) * x.size(3),
        .channels = static_cast<int>(C),
        .groups = static_cast<int>(context->saved_data["num_groups"].toInt()),
        .silu = context->saved_data["silu"].toBool(),
        .type = kernel_float(x.scalar_type()),
        .stream = at::cuda::getCurrentCUDAStream(),
    }));
    const at::Tensor sums = for_weights ? rows.sum(1).to(x.scalar_type()) : at::Tensor();  // [2, C]
    return {grad_x, for_shift ? grad_shift.to(x.scalar_type()) : at::Tensor(), for_weights ? sums[0] : at::Tensor(), for_weights ? sums[1] : at::Tensor(),
            at::Tensor()};
  }
};

bool wants_gradient(const at::Tensor& tensor) { return tensor.defined() && tensor.requires_grad(); }

#endif

}  // namespace

at::Tensor group_norm_silu(const at::Tensor& x, const at::Tensor& shift, const at::Tensor& weight, const at::Tensor& bias, const GroupNormOptions& options) {
  check_arguments(x, shift, weight, bias, options);
#ifdef LINDEN_HAS_CUDA
  if (kernel_takes(x, shift, weight, bias, options)) {
    const bool gradient = at::GradMode::is_enabled() && (wants_gradient(x) || wants_gradient(shift) || wants_gradient(weight) || wants_gradient(bias));
    return gradient ? GroupNormSilu::apply(x, shift.defined() ? std::optional(shift) : std::nullopt, weight, bias, options)
                    : run_forward(x, shift, weight, bias, options, {});
  }
#endif
  return group_norm_silu_reference(x, shift, weight, bias, options);
}

}  // namespace linden
