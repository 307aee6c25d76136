#include "nn/feed_forward.h"

#include <ATen/ops/gelu.h>

#include "nn/module_path.h"
#include "nn/trace.h"

namespace linden {

FeedForwardImpl::FeedForwardImpl(int64_t width, int64_t inner_width) : in_(width, inner_width), out_(inner_width, width) {
  register_under_path(*this, "net.0.proj", in_);
  register_under_path(*this, "net.2", out_);
}

at::Tensor FeedForwardImpl::forward(const at::Tensor& x) {
  const at::Tensor out = out_(at::gelu(in_(x), "tanh"));
  linden::trace(out);
  return out;
}

}  // namespace linden
