#include "train/autocast.h"

#include <ATen/autocast_mode.h>

namespace linden {

Bf16Scope::Bf16Scope(bool wanted, at::Device device) : active_(wanted && device.is_cuda()) {
  if (!active_) return;
  was_enabled_ = at::autocast::is_autocast_enabled(at::kCUDA);
  at::autocast::set_autocast_dtype(at::kCUDA, at::kBFloat16);
  at::autocast::set_autocast_enabled(at::kCUDA, true);
  at::autocast::increment_nesting();
}

Bf16Scope::~Bf16Scope() {
  if (!active_) return;
  if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(at::kCUDA, was_enabled_);
}

}  // namespace linden
