#include "nn/feed_forward.h"

#include <ATen/ops/gelu.h>

#include "nn/module_path.h"
#include "nn/stage.h"
#include "nn/trace.h"

namespace linden {

FeedForwardImpl::FeedForwardImpl(int64_t width, int64_t inner_width) : in_(width, inner_width), out_(inner_width, width) {
  register_under_path(*this, "net.0.proj", in_);
  register_under_path(*this, "net.2", out_);
}

at::Tensor FeedForwardImpl::forward(const at::Tensor& x) {
  begin_stage("ffn_up");
  at::Tensor inner = in_(x);
  begin_stage("gelu");
  inner = at::gelu(inner, "tanh");
  begin_stage("ffn_down");
  const at::Tensor out = out_(inner);
  linden::trace(out);
  return out;
}

}  // namespace linden
