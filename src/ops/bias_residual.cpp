#include "ops/bias_residual.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/ranges.h>

#include "core/error.h"

#ifdef LINDEN_HAS_CUDA
#include <ATen/cuda/CUDAContext.h>
#include <c10/cuda/CUDAGuard.h>

#include "csrc/cuda/bias_residual/launch.h"
#include "ops/float_type.h"
#endif

namespace linden {

at::Tensor bias_residual(at::Tensor x, const at::Tensor& bias, const at::Tensor& residual) {
  check(x.dim() == 4 && bias.dim() == 1 && bias.size(0) == x.size(1) && (!residual.defined() || residual.sizes() == x.sizes()),
        "bias_residual: x is [{}], residual [{}], bias [{}]; wanted [B, C, Y, X] twice and [C]", fmt::join(x.sizes(), ", "),
        residual.defined() ? fmt::format("{}", fmt::join(residual.sizes(), ", ")) : "", fmt::join(bias.sizes(), ", "));
#ifdef LINDEN_HAS_CUDA
  const auto type = x.scalar_type();
  const auto fits = [&](const at::Tensor& image) {
    return image.scalar_type() == type && image.is_contiguous(at::MemoryFormat::ChannelsLast) && is_vector_aligned(image);
  };
  const bool gradient = at::GradMode::is_enabled() && (x.requires_grad() || bias.requires_grad() || (residual.defined() && residual.requires_grad()));
  if (!gradient && is_on_card(x) && is_kernel_float(type) && fits(x) && (!residual.defined() || fits(residual)) && bias.scalar_type() == type &&
      bias.is_contiguous() && is_vector_aligned(bias)) {
    const c10::cuda::CUDAGuard guard(x.device());
    C10_CUDA_CHECK(cuda::launch_bias_residual({.x = x.mutable_data_ptr(),
                                               .bias = bias.const_data_ptr(),
                                               .residual = residual.defined() ? residual.const_data_ptr() : nullptr,
                                               .elements = x.numel(),
                                               .channels = static_cast<int>(x.size(1)),
                                               .type = kernel_float(type),
                                               .stream = at::cuda::getCurrentCUDAStream()}));
    return x;
  }
#endif
  x.add_(bias.view({1, -1, 1, 1}));
  return residual.defined() ? x.add_(residual) : x;
}

}  // namespace linden
