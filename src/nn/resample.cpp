#include "nn/resample.h"

#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/upsample_nearest2d.h>

#include "nn/resnet_block.h"
#include "nn/trace.h"

namespace linden {

DownsampleImpl::DownsampleImpl(int64_t channels, int64_t padding) : padding_(padding) {
  conv = register_module("conv", make_conv(channels, channels, 3, 2, padding));
}

at::Tensor DownsampleImpl::forward(const at::Tensor& x) {
  const at::Tensor result = convolve(conv, padding_ == 0 ? at::constant_pad_nd(x, {0, 1, 0, 1}) : x);
  linden::trace(result);
  return result;
}

UpsampleImpl::UpsampleImpl(int64_t channels) { conv = register_module("conv", make_conv(channels, channels, 3, 1, 1)); }

at::Tensor UpsampleImpl::forward(const at::Tensor& x) {
  const at::Tensor result = convolve(conv, at::upsample_nearest2d(x, {2 * x.size(2), 2 * x.size(3)}));
  linden::trace(result);
  return result;
}

}  // namespace linden
