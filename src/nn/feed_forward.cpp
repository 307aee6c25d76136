#include "nn/feed_forward.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/_addmm_activation.h>
#include <ATen/ops/gelu.h>

#include "nn/module_path.h"
#include "nn/stage.h"
#include "nn/trace.h"

namespace linden {

FeedForwardImpl::FeedForwardImpl(int64_t width, int64_t inner_width) : in_(width, inner_width), out_(inner_width, width) {
  register_under_path(*this, "net.0.proj", in_);
  register_under_path(*this, "net.2", out_);
}

namespace {

// The product with GELU in its epilogue, which a GPU has for half precision and which keeps nothing for a gradient.
bool takes_gelu(const at::Tensor& x, const at::Tensor& weight) {
  return x.is_cuda() && !at::GradMode::is_enabled() && (x.scalar_type() == at::kBFloat16 || x.scalar_type() == at::kHalf) &&
         weight.scalar_type() == x.scalar_type();
}

}  // namespace

at::Tensor FeedForwardImpl::forward(const at::Tensor& x) {
  begin_stage("ffn_up");
  at::Tensor inner;
  if (takes_gelu(x, in_->weight)) {
    inner = at::_addmm_activation(in_->bias, x.flatten(0, -2), in_->weight.t(), 1, 1, /*use_gelu=*/true).unflatten(0, x.sizes().slice(0, x.dim() - 1));
  } else {
    inner = in_(x);
    begin_stage("gelu");
    inner = at::gelu(inner, "tanh");
  }
  begin_stage("ffn_down");
  const at::Tensor out = out_(inner);
  linden::trace(out);
  return out;
}

}  // namespace linden
