#include "ops/rms_norm_rotary_kernel.h"

#ifdef LINDEN_HAS_CUDA
#include <ATen/ATen.h>
#include <ATen/cuda/CUDAContext.h>
#include <c10/cuda/CUDAGuard.h>

#include "csrc/cuda/rms_norm_rotary/launch.h"
#include "ops/float_type.h"

namespace linden {
namespace {

// The last dimension lies close, and whatever stands before it begins on 16 bytes.
bool reads_in_vectors(const at::Tensor& x) {
  if (x.stride(-1) != 1 || !is_vector_aligned(x)) return false;
  for (int64_t d = 0; d + 1 < x.dim(); ++d)
    if (x.size(d) > 1 && x.stride(d) * x.element_size() % 16 != 0) return false;
  return true;
}

bool kernel_takes(const at::Tensor& x, const at::Tensor& weight, int64_t head_dim) {
  return is_on_card(x) && is_kernel_float(x.scalar_type()) && is_kernel_float(weight.scalar_type()) && x.numel() > 0 && x.size(2) % cuda::kRowVector == 0 &&
         x.size(2) <= cuda::kMaxRowWidth && head_dim % cuda::kRowVector == 0 && x.size(0) * x.size(1) <= 2147483647 && reads_in_vectors(x);
}

// The kernel reads fp32 tables without gaps; others are converted, which costs little: they are M / D times smaller than x.
at::Tensor angles(const at::Tensor& table) {
  if (!table.defined()) return table;
  const at::Tensor dense = table.to(at::kFloat).contiguous();
  return is_vector_aligned(dense) ? dense : dense.clone();
}
at::Tensor dense_weight(const at::Tensor& weight) {
  const at::Tensor dense = weight.contiguous();
  return is_vector_aligned(dense) ? dense : dense.clone();
}

}  // namespace

std::optional<at::Tensor> rms_norm_rotary_kernel(const at::Tensor& x, const at::Tensor& maybe_weight, int64_t num_heads, const RotaryTable& table, double eps) {
  const int64_t B = x.size(0), N = x.size(1), M = x.size(2), D = M / num_heads;
  if (!kernel_takes(x, maybe_weight, D)) return std::nullopt;
  const c10::cuda::CUDAGuard guard(x.device());
  const at::Tensor weight = dense_weight(maybe_weight), cos = angles(table.cos), sin = angles(table.sin);
  at::Tensor out = at::empty({B, N, num_heads, D}, x.options().memory_format(at::MemoryFormat::Contiguous));
  C10_CUDA_CHECK(cuda::launch_rms_norm_rotary({
      .x = x.const_data_ptr(),
      .x_batch_stride = x.stride(0),
      .x_token_stride = x.stride(1),
      .weight = weight.const_data_ptr(),
      .weight_type = kernel_float(weight.scalar_type()),
      .cos = floats_or_null(cos),
      .sin = floats_or_null(sin),
      .out = out.mutable_data_ptr(),
      .batch = B,
      .tokens = N,
      .width = static_cast<int>(M),
      .head_dim = static_cast<int>(D),
      .eps = static_cast<float>(eps),
      .type = kernel_float(x.scalar_type()),
      .stream = at::cuda::getCurrentCUDAStream(),
  }));
  return out;
}

std::optional<RmsNormRotaryGradients> rms_norm_rotary_kernel_backward(const at::Tensor& maybe_grad_out, const at::Tensor& x, const at::Tensor& maybe_weight,
                                                                      const RotaryTable& table, double eps, bool for_weight) {
  const int64_t B = x.size(0), N = x.size(1), M = x.size(2), D = maybe_grad_out.size(3);
  if (!kernel_takes(x, maybe_weight, D)) return std::nullopt;
  const c10::cuda::CUDAGuard guard(x.device());
  // Attention gives gradients as transposed views: read as they lie.
  const at::Tensor grad_out = reads_in_vectors(maybe_grad_out) ? maybe_grad_out : maybe_grad_out.clone(at::MemoryFormat::Contiguous);
  const at::Tensor weight = dense_weight(maybe_weight), cos = angles(table.cos), sin = angles(table.sin);
  RmsNormRotaryGradients grad{at::empty({B, N, M}, x.options()), {}};
  at::Tensor rows;  // of the weight's gradient, one a block
  if (for_weight) rows = at::empty({cuda::rms_norm_rotary_backward_blocks(B * N, static_cast<int>(M)), M}, x.options().dtype(at::kFloat));
  C10_CUDA_CHECK(cuda::launch_rms_norm_rotary_backward({
      .grad_out = grad_out.const_data_ptr(),
      .grad_batch_stride = grad_out.stride(0),
      .grad_token_stride = grad_out.stride(1),
      .grad_head_stride = grad_out.stride(2),
      .x = x.const_data_ptr(),
      .x_batch_stride = x.stride(0),
      .x_token_stride = x.stride(1),
      .weight = weight.const_data_ptr(),
      .weight_type = kernel_float(weight.scalar_type()),
      .cos = floats_or_null(cos),
      .sin = floats_or_null(sin),
      .grad_x = grad.x.mutable_data_ptr(),
      .grad_weight_rows = for_weight ? rows.mutable_data_ptr<float>() : nullptr,
      .batch = B,
      .tokens = N,
      .width = static_cast<int>(M),
      .head_dim = static_cast<int>(D),
      .eps = static_cast<float>(eps),
      .type = kernel_float(x.scalar_type()),
      .stream = at::cuda::getCurrentCUDAStream(),
  }));
  if (for_weight) grad.weight = rows.sum(0).to(maybe_weight.scalar_type());
  return grad;
}

}  // namespace linden

#else

namespace linden {

std::optional<at::Tensor> rms_norm_rotary_kernel(const at::Tensor&, const at::Tensor&, int64_t, const RotaryTable&, double) { return std::nullopt; }
std::optional<RmsNormRotaryGradients> rms_norm_rotary_kernel_backward(const at::Tensor&, const at::Tensor&, const at::Tensor&, const RotaryTable&, double,
                                                                      bool) {
  return std::nullopt;
}

}  // namespace linden

#endif
