#include "ops/adaptive_layer_norm_kernel.h"

#include "core/error.h"

#ifdef LINDEN_HAS_CUDA
#include <ATen/ATen.h>
#include <ATen/cuda/CUDAContext.h>
#include <c10/cuda/CUDAGuard.h>

#include "csrc/cuda/adaptive_layer_norm/launch.h"
#include "ops/float_type.h"

namespace linden {
namespace {

bool is_dense(const at::Tensor& x) { return x.is_contiguous() && is_vector_aligned(x); }

bool kernel_takes(const AdaptiveLayerNormInputs& in) {
  const at::Tensor &residual = in.residual, &branch = in.branch;
  const int64_t M = residual.size(2);
  if (!is_on_card(residual) || residual.numel() == 0 || !is_kernel_float(residual.scalar_type()) || !is_dense(residual)) return false;
  if (M % cuda::kRowVector != 0 || M > cuda::kMaxAdaptiveWidth || residual.size(0) > 65535) return false;
  for (const at::Tensor* small : {&in.gate, &in.scale, &in.shift, &in.weight, &in.bias})
    if (small->defined() && !is_kernel_float(small->scalar_type())) return false;
  return !branch.defined() || (is_kernel_float(branch.scalar_type()) && is_dense(branch) &&
                               (residual.scalar_type() == at::kFloat || residual.scalar_type() == branch.scalar_type()));
}

// gate, scale, shift [B, M], weight and bias [M] as fp32 that the kernels can read: a copy only where they are not yet.
at::Tensor readable(const at::Tensor& x) {
  if (!x.defined()) return x;
  const at::Tensor wide = x.to(at::kFloat);
  if (wide.stride(-1) == 1 && is_vector_aligned(wide) && (wide.dim() == 1 || wide.stride(0) % 4 == 0)) return wide;
  return wide.clone(at::MemoryFormat::Contiguous);
}
int64_t row_stride(const at::Tensor& x) { return x.defined() ? x.stride(0) : 0; }
at::Tensor dense(const at::Tensor& x) { return is_dense(x) ? x : x.clone(at::MemoryFormat::Contiguous); }

// In the dtype of `like`; [B, M] -> [M] where `like` is a parameter.
at::Tensor gradient_for(const at::Tensor& like, const at::Tensor& grad) { return (like.dim() == 1 ? grad.sum(0) : grad).to(like.scalar_type()); }

}  // namespace

std::optional<AdaptiveLayerNormForward> adaptive_layer_norm_kernel(const AdaptiveLayerNormInputs& in, double eps) {
  if (!kernel_takes(in)) return std::nullopt;
  const c10::cuda::CUDAGuard guard(in.residual.device());
  const int64_t B = in.residual.size(0), N = in.residual.size(1), M = in.residual.size(2);
  const at::Tensor gate = readable(in.gate), scale = readable(in.scale), shift = readable(in.shift), weight = readable(in.weight), bias = readable(in.bias);
  const at::Tensor& y_like = in.branch.defined() ? in.branch : in.residual;
  AdaptiveLayerNormForward result{{at::empty({B, N, M}, in.residual.options()), at::empty({B, N, M}, y_like.options())},
                                  at::empty({2, B, N}, in.residual.options().dtype(at::kFloat))};
  C10_CUDA_CHECK(cuda::launch_adaptive_layer_norm({
      .residual = in.residual.const_data_ptr(),
      .branch = in.branch.defined() ? in.branch.const_data_ptr() : nullptr,
      .gate = floats_or_null(gate),
      .scale = floats_or_null(scale),
      .shift = floats_or_null(shift),
      .gate_stride = row_stride(gate),
      .scale_stride = row_stride(scale),
      .shift_stride = row_stride(shift),
      .weight = floats_or_null(weight),
      .bias = floats_or_null(bias),
      .x = result.out.residual.mutable_data_ptr(),
      .y = result.out.normed.mutable_data_ptr(),
      .mean = result.statistics.mutable_data_ptr<float>(),
      .rstd = result.statistics[1].mutable_data_ptr<float>(),
      .batch = B,
      .tokens = N,
      .width = static_cast<int>(M),
      .eps = static_cast<float>(eps),
      .residual_type = kernel_float(in.residual.scalar_type()),
      .branch_type = kernel_float(y_like.scalar_type()),
      .stream = at::cuda::getCurrentCUDAStream(),
  }));
  return result;
}

AdaptiveLayerNormInputs adaptive_layer_norm_kernel_backward(const AdaptiveLayerNormOutputs& grads, const at::Tensor& x, const AdaptiveLayerNormInputs& in,
                                                            const at::Tensor& statistics) {
  const c10::cuda::CUDAGuard guard(x.device());
  const int64_t B = x.size(0), N = x.size(1), M = x.size(2), blocks = cuda::adaptive_layer_norm_backward_blocks(B, N, static_cast<int>(M));
  const at::TensorOptions y_options = (in.branch.defined() ? in.branch : x).options();
  const at::Tensor gate = readable(in.gate), scale = readable(in.scale), weight = readable(in.weight);
  const at::Tensor grad_x = grads.residual.defined() ? dense(grads.residual) : at::Tensor();
  const at::Tensor grad_y = grads.normed.defined() ? dense(grads.normed) : at::zeros({B, N, M}, y_options);

  AdaptiveLayerNormInputs result;
  result.residual = at::empty({B, N, M}, x.options());
  // Without a gate the branch's gradient is the residual's, unless it has another dtype.
  const bool branch_alone = in.branch.defined() && (in.gate.defined() || in.branch.scalar_type() != x.scalar_type());
  if (in.branch.defined()) result.branch = branch_alone ? at::empty({B, N, M}, y_options) : result.residual;
  // Sums of dy, dy xh, dx branch over the rows of each block.
  const bool needs[] = {in.shift.defined() || in.bias.defined(), in.scale.defined() || in.weight.defined(), in.gate.defined()};
  at::Tensor partial[3];
  for (int i = 0; i < 3; ++i)
    if (needs[i]) partial[i] = at::empty({B, blocks, M}, x.options().dtype(at::kFloat));
  const auto data_of = [](const at::Tensor& sums) { return sums.defined() ? sums.mutable_data_ptr<float>() : nullptr; };
  C10_CUDA_CHECK(cuda::launch_adaptive_layer_norm_backward({
      .grad_x = grad_x.defined() ? grad_x.const_data_ptr() : nullptr,
      .grad_y = grad_y.const_data_ptr(),
      .x = x.const_data_ptr(),
      .branch = in.gate.defined() ? in.branch.const_data_ptr() : nullptr,
      .gate = floats_or_null(gate),
      .scale = floats_or_null(scale),
      .gate_stride = row_stride(gate),
      .scale_stride = row_stride(scale),
      .weight = floats_or_null(weight),
      .mean = statistics.const_data_ptr<float>(),
      .rstd = statistics[1].const_data_ptr<float>(),
      .grad_residual = result.residual.mutable_data_ptr(),
      .grad_branch = branch_alone ? result.branch.mutable_data_ptr() : nullptr,
      .sum_grad_y = data_of(partial[0]),
      .sum_grad_y_normed = data_of(partial[1]),
      .sum_grad_x_branch = data_of(partial[2]),
      .batch = B,
      .tokens = N,
      .width = static_cast<int>(M),
      .residual_type = kernel_float(x.scalar_type()),
      .branch_type = kernel_float(at::typeMetaToScalarType(y_options.dtype())),
      .stream = at::cuda::getCurrentCUDAStream(),
  }));
  const auto sum = [&](int i) { return partial[i].sum(1); };  // [B, M]
  const at::Tensor sum_y = needs[0] ? sum(0) : at::Tensor(), sum_y_normed = needs[1] ? sum(1) : at::Tensor();
  const auto scaled = [&](const at::Tensor& sums) { return scale.defined() ? sums * (1 + scale) : sums; };
  if (in.gate.defined()) result.gate = gradient_for(in.gate, sum(2));
  if (in.shift.defined()) result.shift = gradient_for(in.shift, sum_y);
  if (in.bias.defined()) result.bias = gradient_for(in.bias, scaled(sum_y));
  if (in.weight.defined()) result.weight = gradient_for(in.weight, scaled(sum_y_normed));
  if (in.scale.defined()) {
    at::Tensor grad_scale = weight.defined() ? sum_y_normed * weight : sum_y_normed;
    if (in.bias.defined()) grad_scale = grad_scale + sum_y * in.bias.to(at::kFloat);
    result.scale = gradient_for(in.scale, grad_scale);
  }
  return result;
}

}  // namespace linden

#else

namespace linden {

std::optional<AdaptiveLayerNormForward> adaptive_layer_norm_kernel(const AdaptiveLayerNormInputs&, double) { return std::nullopt; }
AdaptiveLayerNormInputs adaptive_layer_norm_kernel_backward(const AdaptiveLayerNormOutputs&, const at::Tensor&, const AdaptiveLayerNormInputs&,
                                                            const at::Tensor&) {
  throw CheckError("adaptive_layer_norm: this build has no CUDA kernels, but a forward pass used one");
}

}  // namespace linden

#endif
