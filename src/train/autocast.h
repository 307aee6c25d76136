// Mixed precision for a scope: matrix products and convolutions in bf16, the rest in fp32.
#pragma once

#include <c10/core/Device.h>

namespace linden {

// Does nothing unless `wanted` and the device is a GPU. The weights' bf16 copies live as long as the scope.
class Bf16Scope {
 public:
  Bf16Scope(bool wanted, at::Device device);
  ~Bf16Scope();
  Bf16Scope(const Bf16Scope&) = delete;

 private:
  bool active_;
  bool was_enabled_ = false;
};

}  // namespace linden
