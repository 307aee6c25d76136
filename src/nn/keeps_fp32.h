// Modules whose weights stay in fp32 when the network around them goes to bf16 or fp16.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <utility>

namespace linden {

inline bool is_half_precision(at::ScalarType dtype) { return dtype == at::kBFloat16 || dtype == at::kHalf; }

// A module like Base for which to(bf16) and to(fp16) move the device alone.
template <class Base>
class KeepsFp32 : public Base {
 public:
  using Base::Base;
  using Base::to;
  void to(at::Device device, at::ScalarType dtype, bool non_blocking = false) override {
    if (is_half_precision(dtype)) return Base::to(device, non_blocking);
    Base::to(device, dtype, non_blocking);
  }
  void to(at::ScalarType dtype, bool non_blocking = false) override {
    if (!is_half_precision(dtype)) Base::to(dtype, non_blocking);
  }
};

// For one parameter of a module whose others do go to half precision: `convert` is the module's own to(). The values are
// kept from before it, so nothing is rounded.
template <class Convert>
void convert_but_keep_fp32(at::Tensor& parameter, Convert&& convert) {
  const at::Tensor before = parameter.defined() ? parameter.detach() : at::Tensor();
  std::forward<Convert>(convert)();
  if (before.defined() && is_half_precision(parameter.scalar_type())) parameter.set_data(before.to(parameter.device()));
}

}  // namespace linden
