// build/lib/liblinden_ops.so: linden's operators for Python, by torch.ops.load_library (docs/linear_attention.md).
//
// torch.ops.linden.linear_attention has kernels for the CPU, for CUDA and for meta tensors, and an autograd kernel whose
// two halves are operators of their own, so that fake tensors (torch.compile) pass through the gradient too.
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "ops/linear_attention.h"
#include "ops/linear_attention_function.h"
#include "ops/linear_attention_report.h"

namespace linden {

void report_linear_attention(const std::string& message, bool fallback) {
  if (fallback) TORCH_WARN(message);
}

namespace {

using at::Tensor;
using Optional = std::optional<Tensor>;
using Forward = std::tuple<Tensor, Tensor, Tensor, Tensor>;            // out, state, key_sum, key_shift
using Gradients = std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor>;  // q, k, v, w_q, w_k

// An operator returns no undefined tensors: an empty one stands for them.
Tensor or_empty(const Tensor& x, const Tensor& like) { return x.defined() ? x : at::empty({0}, like.options()); }
Tensor empty_to_undefined(const Tensor& x) { return x.numel() == 0 ? Tensor() : x; }

LinearAttentionInputs inputs_of(const Tensor& q, const Tensor& k, const Tensor& v, const Optional& w_q, const Optional& w_k, const Optional& num_valid) {
  return {q, k, v, or_undefined(w_q), or_undefined(w_k), or_undefined(num_valid)};
}

Forward forward(const Tensor& q, const Tensor& k, const Tensor& v, c10::string_view feature_map, const Optional& w_q, const Optional& w_k,
                const Optional& num_valid) {
  const FeatureMapConfig map = feature_map_of(std::string(feature_map));
  const LinearAttentionInputs inputs = inputs_of(q, k, v, w_q, w_k, num_valid);
  check_linear_attention(inputs, map);
  const LinearAttentionForward result = linear_attention_forward(inputs, map);
  return {result.out, result.state, result.key_sum, or_empty(result.key_shift, result.state)};
}

Gradients backward(const Tensor& grad_out, const Tensor& q, const Tensor& k, const Tensor& v, c10::string_view feature_map, const Optional& w_q,
                   const Optional& w_k, const Optional& num_valid, const Tensor& state, const Tensor& key_sum, const Tensor& key_shift) {
  const LinearAttentionGradients g = linear_attention_backward(grad_out, inputs_of(q, k, v, w_q, w_k, num_valid), feature_map_of(std::string(feature_map)),
                                                               {{}, state, key_sum, empty_to_undefined(key_shift)});
  return {g.q, g.k, g.v, or_empty(g.w_q, q), or_empty(g.w_k, k)};
}

// Shapes and dtypes alone.
Forward meta_forward(const Tensor& q, const Tensor& k, const Tensor& v, c10::string_view feature_map, const Optional& w_q, const Optional& w_k,
                     const Optional& num_valid) {
  const FeatureMapConfig map = feature_map_of(std::string(feature_map));
  check_linear_attention(inputs_of(q, k, v, w_q, w_k, num_valid), map, /*look_at_values=*/false);
  const int64_t B = q.size(0), H = q.size(2), D = q.size(3), R = feature_dim(map, D, w_q ? w_q->size(2) : 0);
  const at::TensorOptions sums = q.options().dtype(accumulator_type(q.scalar_type()));
  const bool shifted = std::holds_alternative<ExpMapConfig>(map);
  return {at::empty(q.sizes(), q.options()), at::empty({B, H, R, D}, sums), at::empty({B, H, R, 1}, sums),
          shifted ? at::empty({B, H, 1, D}, sums) : at::empty({0}, sums)};
}

Gradients meta_backward(const Tensor&, const Tensor& q, const Tensor& k, const Tensor& v, c10::string_view, const Optional& w_q, const Optional& w_k,
                        const Optional&, const Tensor&, const Tensor&, const Tensor&) {
  const auto like = [](const Tensor& x) { return at::empty(x.sizes(), x.options()); };
  const auto like_or_empty = [&](const Optional& w) { return w ? like(*w) : at::empty({0}, q.options()); };
  return {like(q), like(k), like(v), like_or_empty(w_q), like_or_empty(w_k)};
}

// The two halves through the dispatcher.
struct Operators {
  static LinearAttentionForward forward(const LinearAttentionInputs& in, const FeatureMapConfig& map) {
    static const auto op = c10::Dispatcher::singleton().findSchemaOrThrow("linden::linear_attention_forward", "").typed<decltype(linden::forward)>();
    auto [out, state, key_sum, key_shift] = op.call(in.q, in.k, in.v, feature_map_name(map), or_nullopt(in.w_q), or_nullopt(in.w_k), or_nullopt(in.num_valid));
    return {out, state, key_sum, key_shift};
  }
  static LinearAttentionGradients backward(const Tensor& grad_out, const LinearAttentionInputs& in, const FeatureMapConfig& map,
                                           const LinearAttentionForward& saved) {
    static const auto op = c10::Dispatcher::singleton().findSchemaOrThrow("linden::linear_attention_backward", "").typed<decltype(linden::backward)>();
    auto [q, k, v, w_q, w_k] = op.call(grad_out, in.q, in.k, in.v, feature_map_name(map), or_nullopt(in.w_q), or_nullopt(in.w_k), or_nullopt(in.num_valid),
                                       saved.state, saved.key_sum, saved.key_shift);
    return {q, k, v, in.w_q.defined() ? w_q : Tensor(), in.w_k.defined() ? w_k : Tensor()};
  }
};

Tensor differentiable(const Tensor& q, const Tensor& k, const Tensor& v, c10::string_view feature_map, const Optional& w_q, const Optional& w_k,
                      const Optional& num_valid) {
  return LinearAttentionFunction<Operators>::apply(q, k, v, w_q, w_k, num_valid, feature_map_of(std::string(feature_map)));
}

Tensor without_gradient(const Tensor& q, const Tensor& k, const Tensor& v, c10::string_view feature_map, const Optional& w_q, const Optional& w_k,
                        const Optional& num_valid) {
  return Operators::forward(inputs_of(q, k, v, w_q, w_k, num_valid), feature_map_of(std::string(feature_map))).out;
}

}  // namespace

TORCH_LIBRARY(linden, library) {
  library.def("linear_attention(Tensor q, Tensor k, Tensor v, str feature_map, Tensor? w_q=None, Tensor? w_k=None, Tensor? num_valid=None) -> Tensor");
  library.def(
      "linear_attention_forward(Tensor q, Tensor k, Tensor v, str feature_map, Tensor? w_q, Tensor? w_k, Tensor? num_valid) -> (Tensor, Tensor, Tensor, "
      "Tensor)");
  library.def(
      "linear_attention_backward(Tensor grad_out, Tensor q, Tensor k, Tensor v, str feature_map, Tensor? w_q, Tensor? w_k, Tensor? num_valid, "
      "Tensor state, Tensor key_sum, Tensor key_shift) -> (Tensor, Tensor, Tensor, Tensor, Tensor)");
}

#define LINDEN_DEVICE_KERNELS(key)                       \
  TORCH_LIBRARY_IMPL(linden, key, library) {             \
    library.impl("linear_attention", without_gradient);  \
    library.impl("linear_attention_forward", forward);   \
    library.impl("linear_attention_backward", backward); \
  }
LINDEN_DEVICE_KERNELS(CPU)
LINDEN_DEVICE_KERNELS(CUDA)
#undef LINDEN_DEVICE_KERNELS

TORCH_LIBRARY_IMPL(linden, Meta, library) {
  library.impl("linear_attention", without_gradient);
  library.impl("linear_attention_forward", meta_forward);
  library.impl("linear_attention_backward", meta_backward);
}

TORCH_LIBRARY_IMPL(linden, Autograd, library) { library.impl("linear_attention", differentiable); }

}  // namespace linden
