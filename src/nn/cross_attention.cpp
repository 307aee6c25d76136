#include "nn/cross_attention.h"

#include "nn/module_path.h"
#include "nn/stage.h"
#include "nn/trace.h"
#include "ops/gated_attention.h"

namespace linden {

CrossAttentionImpl::CrossAttentionImpl(const CrossAttentionOptions& options) : options_(options) {
  const int64_t M = options.num_heads * options.head_dim;
  to_q = register_module("to_q", Linear(M, M));
  to_k = register_module("to_k", Linear(M, M));
  to_v = register_module("to_v", Linear(M, M));
  out_projection_ = Linear(M, M);
  register_under_path(*this, "to_out.0", out_projection_);
  norm_q = register_module("norm_q", HeadRmsNorm(options.num_heads, options.head_dim, options.norm_eps));
  norm_k = register_module("norm_k", HeadRmsNorm(options.num_heads, options.head_dim, options.norm_eps));
}

KeysAndValues CrossAttentionImpl::encode(const at::Tensor& text) {
  begin_stage("text_keys");
  return {norm_k(to_k(text), RotaryTable{}), to_v(text).unflatten(-1, {options_.num_heads, options_.head_dim})};
}

at::Tensor CrossAttentionImpl::forward(const at::Tensor& x, const KeysAndValues& text) {
  begin_stage("cross_query");
  const at::Tensor q = to_q(x);
  begin_stage("cross_norm");
  const at::Tensor queries = norm_q(q, RotaryTable{});
  begin_stage("cross_attention");
  const at::Tensor mixed = softmax_attention(queries, text.keys, text.values, {});
  begin_stage("cross_output");
  const at::Tensor out = out_projection_(mixed.flatten(2));
  linden::trace(out);
  return out;
}

}  // namespace linden
