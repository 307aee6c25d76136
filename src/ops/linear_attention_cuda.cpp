#include "ops/linear_attention_cuda.h"

#include <fmt/format.h>

#ifdef LINDEN_HAS_CUDA
#include <ATen/ATen.h>
#include <ATen/cuda/CUDAContext.h>
#include <c10/cuda/CUDAGuard.h>

#include <algorithm>
#include <limits>

#include "csrc/cuda/linear_attention/launch.h"
#include "ops/float_type.h"
#endif

#include "core/error.h"

namespace linden {

#ifdef LINDEN_HAS_CUDA
namespace {

// Partial sums of the stretches of tokens: at most this much for one of S, dS and dW.
constexpr int64_t kPartialBytes = 17 << 20;
constexpr int64_t kMaxSplits = 64;

cuda::FeatureMap kernel_map(const FeatureMapConfig& map) {
  constexpr std::array kinds = {cuda::FeatureMap::kHedgehog, cuda::FeatureMap::kSoftmax, cuda::FeatureMap::kEluPlusOne,
                                cuda::FeatureMap::kRelu,     cuda::FeatureMap::kExp,     cuda::FeatureMap::kTaylor2};
  static_assert(kinds.size() == std::variant_size_v<FeatureMapConfig>);
  return kinds[map.index()];
}

int64_t projected_dim(const LinearAttentionInputs& in) { return in.w_q.defined() ? in.w_q.size(2) : 0; }

cuda::LinearAttentionShape shape_of(const LinearAttentionInputs& in, const FeatureMapConfig& map) {
  const int64_t D = in.q.size(3), P = projected_dim(in);
  return {.batch = static_cast<int>(in.q.size(0)),
          .tokens = static_cast<int>(in.q.size(1)),
          .heads = static_cast<int>(in.q.size(2)),
          .head_dim = static_cast<int>(D),
          .projected_dim = static_cast<int>(P),
          .feature_dim = static_cast<int>(feature_dim(map, D, P)),
          .map = kernel_map(map),
          .type = kernel_float(in.q.scalar_type()),
          .num_valid = in.num_valid.defined() ? in.num_valid.const_data_ptr<int64_t>() : nullptr,
          .eps = static_cast<float>(feature_map_eps(map)),
          .splits = 1,
          .stream = at::cuda::getCurrentCUDAStream()};
}

// x with rows that the kernels can load: of 16-byte pieces, D contiguous.
at::Tensor aligned(const at::Tensor& x) {
  bool fits = x.stride(3) == 1 && is_vector_aligned(x);
  for (int64_t d = 0; d < 3; ++d) fits = fits && x.stride(d) * x.element_size() % 16 == 0;
  return fits ? x : x.clone(at::MemoryFormat::Contiguous);  // contiguous() keeps what only starts off the grid
}
cuda::AttentionRows rows(const at::Tensor& x) { return {const_cast<void*>(x.const_data_ptr()), x.stride(0), x.stride(1), x.stride(2)}; }

int split_limit(int64_t bytes_a_split) { return static_cast<int>(std::clamp<int64_t>(kPartialBytes / bytes_a_split, 1, kMaxSplits)); }

at::TensorOptions sums_options(const at::Tensor& q) { return q.options().dtype(at::kFloat); }

// The inputs as the kernels take them, alive for as long as they run.
struct Prepared {
  LinearAttentionInputs in;
  cuda::LinearAttentionShape shape;
  Prepared(const LinearAttentionInputs& from, const FeatureMapConfig& map) {
    in = {
        aligned(from.q), aligned(from.k), aligned(from.v), {}, {}, from.num_valid.defined() ? from.num_valid.to(from.q.device()).contiguous() : from.num_valid};
    if (from.w_q.defined()) {
      const at::ScalarType type = from.q.scalar_type() == at::kBFloat16 ? at::kBFloat16 : at::kFloat;
      in.w_q = from.w_q.to(type).contiguous();
      in.w_k = from.w_k.to(type).contiguous();
    }
    shape = shape_of(in, map);
  }
};

const void* data_or_null(const at::Tensor& x) { return x.defined() ? x.const_data_ptr() : nullptr; }

// S [B, H, R, D] and z [B, H, R, 1] of features of x and values y. exact_sum: z of features that are not rounded (taylor2's, of keys).
struct State {
  at::Tensor state, sum, exact_sum;
};
State sum_state(cuda::LinearAttentionShape shape, bool queries, const at::Tensor& x, const at::Tensor& y, const at::Tensor& w, const at::Tensor& shift,
                const at::Tensor& token_scale) {
  const int64_t B = shape.batch, H = shape.heads, R = shape.feature_dim, D = shape.head_dim;
  shape.splits = cuda::state_splits(shape, split_limit(B * H * R * (D + 1) * 4));
  const at::TensorOptions options = sums_options(x);
  State result{at::empty({B, H, R, D}, options), at::empty({B, H, R, 1}, options), {}};
  if (shape.map == cuda::FeatureMap::kTaylor2 && !queries) result.exact_sum = at::empty({B, H, R, 1}, options);
  const bool parts = shape.splits > 1;
  const at::Tensor partial_state = parts ? at::empty({shape.splits, B, H, R, D}, options) : result.state;
  const at::Tensor partial_sum = parts ? at::empty({shape.splits, B, H, R}, options) : result.sum;
  const at::Tensor partial_exact = parts && result.exact_sum.defined() ? at::empty({shape.splits, B, H, R}, options) : result.exact_sum;
  C10_CUDA_CHECK(cuda::launch_state({.shape = shape,
                                     .queries = queries,
                                     .x = rows(x),
                                     .y = rows(y),
                                     .w = data_or_null(w),
                                     .shift = floats_or_null(shift),
                                     .token_scale = floats_or_null(token_scale),
                                     .partial_state = partial_state.mutable_data_ptr<float>(),
                                     .partial_sum = partial_sum.mutable_data_ptr<float>(),
                                     .partial_exact_sum = partial_exact.defined() ? partial_exact.mutable_data_ptr<float>() : nullptr}));
  const auto add_parts = [&](const at::Tensor& partial, const at::Tensor& total) {
    C10_CUDA_CHECK(cuda::launch_sum_parts(partial.const_data_ptr<float>(), total.mutable_data_ptr<float>(), total.numel(), shape.splits, shape.stream));
  };
  if (parts) {
    add_parts(partial_state, result.state);
    add_parts(partial_sum, result.sum);
    if (result.exact_sum.defined()) add_parts(partial_exact, result.exact_sum);
  }
  return result;
}

at::Tensor key_shift(cuda::LinearAttentionShape shape, const at::Tensor& k) {
  const int64_t B = shape.batch, H = shape.heads, D = shape.head_dim;
  shape.splits = static_cast<int>(std::clamp<int64_t>(512 / (B * H), 1, (shape.tokens + 63) / 64));
  const at::Tensor shift = at::empty({B, H, 1, D}, sums_options(k)), partial = at::empty({shape.splits, B, H, D}, sums_options(k));
  C10_CUDA_CHECK(
      cuda::launch_key_shift({.shape = shape, .x = rows(k), .partial = partial.mutable_data_ptr<float>(), .shift = shift.mutable_data_ptr<float>()}));
  return shift;
}

// The centre [B, H, D] of S. A state with an exact sum becomes the one that belongs to it: csrc/cuda/linear_attention/README.md.
at::Tensor centre_of(const cuda::LinearAttentionShape& shape, const State& of) {
  const at::Tensor centre = at::empty({shape.batch, shape.heads, shape.head_dim}, of.state.options());
  C10_CUDA_CHECK(cuda::launch_centre({.shape = shape,
                                      .state = of.state.mutable_data_ptr<float>(),
                                      .sum = of.sum.const_data_ptr<float>(),
                                      .exact_sum = floats_or_null(of.exact_sum),
                                      .centre = centre.mutable_data_ptr<float>()}));
  return centre;
}

// The gradient of W [H, D, P] from the parts of a side's stretches and samples.
struct ProjectionParts {
  at::Tensor partial;
  at::Tensor sum(const cuda::LinearAttentionShape& shape, const at::Tensor& w) const {
    if (!w.defined()) return {};
    const at::Tensor grad = at::empty(w.sizes(), partial.options());
    C10_CUDA_CHECK(cuda::launch_sum_projection(partial.const_data_ptr<float>(), grad.mutable_data_ptr<float>(), shape));
    return grad.to(w.scalar_type());
  }
};

}  // namespace

std::string linear_attention_cuda_refusal(const LinearAttentionInputs& in, const FeatureMapConfig& map, bool backward) {
  if (!in.q.is_cuda()) return "the tensors are not on a CUDA device";
  if (!is_kernel_float(in.q.scalar_type())) return fmt::format("the kernels take Float, BFloat16 and Half, not {}", c10::toString(in.q.scalar_type()));
  if (in.q.size(1) > std::numeric_limits<int>::max() / 2) return "more tokens than the kernels count";
  const c10::cuda::CUDAGuard guard(in.q.device());
  if (!cuda::linear_attention_fits(shape_of(in, map), backward)) return "this card has too little shared memory, or is older than compute capability 8.0";
  return {};
}

LinearAttentionForward linear_attention_forward_cuda(const LinearAttentionInputs& inputs, const FeatureMapConfig& map) {
  const c10::cuda::CUDAGuard guard(inputs.q.device());
  const Prepared p(inputs, map);
  LinearAttentionForward result;
  if (std::holds_alternative<ExpMapConfig>(map)) result.key_shift = key_shift(p.shape, p.in.k);
  const State state = sum_state(p.shape, false, p.in.k, p.in.v, p.in.w_k, result.key_shift, {});
  const at::Tensor centre = centre_of(p.shape, state);
  result.state = state.state;
  result.key_sum = state.exact_sum.defined() ? state.exact_sum : state.sum;
  result.out = at::empty(p.in.q.sizes(), p.in.q.options());
  cuda::LinearAttentionShape shape = p.shape;
  shape.splits = cuda::query_splits(shape);
  C10_CUDA_CHECK(cuda::launch_query({.shape = shape,
                                     .x = rows(p.in.q),
                                     .out = rows(result.out),
                                     .w = data_or_null(p.in.w_q),
                                     .shift = floats_or_null(result.key_shift),
                                     .state = result.state.const_data_ptr<float>(),
                                     .sum = result.key_sum.const_data_ptr<float>(),
                                     .centre = centre.const_data_ptr<float>()}));
  return result;
}

LinearAttentionGradients linear_attention_backward_cuda(const at::Tensor& grad_out, const LinearAttentionInputs& inputs, const FeatureMapConfig& map,
                                                        const LinearAttentionForward& saved) {
  const c10::cuda::CUDAGuard guard(inputs.q.device());
  const Prepared p(inputs, map);
  const at::Tensor grad = aligned(grad_out);
  const int64_t B = p.shape.batch, N = p.shape.tokens, H = p.shape.heads, D = p.shape.head_dim, P = p.shape.projected_dim;
  cuda::LinearAttentionShape shape = p.shape;
  shape.splits = cuda::gradient_splits(shape, P > 0 ? split_limit(B * H * D * P * 4) : std::numeric_limits<int>::max());
  ProjectionParts parts;
  if (P > 0) parts.partial = at::empty({shape.splits, B, H, D, P}, sums_options(p.in.q));
  const State saved_state{saved.state.contiguous(), saved.key_sum.contiguous(), {}};
  const at::Tensor centre = centre_of(p.shape, saved_state);
  const auto gradient = [&](bool queries, const at::Tensor& x, const at::Tensor& y, const at::Tensor& w, const State& state, at::Tensor& grad_x,
                            at::Tensor& grad_y, const at::Tensor& token_scale) {
    grad_x = at::empty(x.sizes(), x.options());
    if (!queries) grad_y = at::empty(x.sizes(), x.options());
    C10_CUDA_CHECK(cuda::launch_gradient({.shape = shape,
                                          .queries = queries,
                                          .x = rows(x),
                                          .y = rows(y),
                                          .grad_x = rows(grad_x),
                                          .grad_y = queries ? cuda::AttentionRows{} : rows(grad_y),
                                          .w = data_or_null(w),
                                          .shift = floats_or_null(saved.key_shift),
                                          .state = state.state.const_data_ptr<float>(),
                                          .sum = state.sum.const_data_ptr<float>(),
                                          .centre = centre.const_data_ptr<float>(),
                                          .token_scale = queries ? token_scale.mutable_data_ptr<float>() : nullptr,
                                          .partial_w = P > 0 ? parts.partial.mutable_data_ptr<float>() : nullptr}));
  };
  LinearAttentionGradients result;
  at::Tensor none;
  const at::Tensor token_scale = at::empty({B, H, N, 2}, sums_options(p.in.q));
  gradient(true, p.in.q, grad, p.in.w_q, saved_state, result.q, none, token_scale);
  result.w_q = parts.sum(shape, inputs.w_q);
  const State grad_state = sum_state(p.shape, true, p.in.q, grad, p.in.w_q, saved.key_shift, token_scale);
  gradient(false, p.in.k, p.in.v, p.in.w_k, grad_state, result.k, result.v, token_scale);
  result.w_k = parts.sum(shape, inputs.w_k);
  return result;
}

#else

std::string linear_attention_cuda_refusal(const LinearAttentionInputs&, const FeatureMapConfig&, bool) { return "linden was built without CUDA"; }
LinearAttentionForward linear_attention_forward_cuda(const LinearAttentionInputs&, const FeatureMapConfig&) {
  check(false, "linden was built without CUDA");
  return {};
}
LinearAttentionGradients linear_attention_backward_cuda(const at::Tensor&, const LinearAttentionInputs&, const FeatureMapConfig&,
                                                        const LinearAttentionForward&) {
  check(false, "linden was built without CUDA");
  return {};
}

#endif

}  // namespace linden
