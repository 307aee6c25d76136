// Inputs of linear attention for the tests of this folder.
#pragma once

#include "ops/linear_attention.h"
#include "tests/support/gradcheck.h"

namespace linden::test {

struct AttentionShape {
  int64_t B = 2, N = 7, H = 2, D = 32;
};

// Normal q, k, v; W normal over sqrt(D) where the map has one. Rounded to `dtype`.
inline LinearAttentionInputs attention_inputs(const FeatureMapConfig& map, const AttentionShape& s, at::ScalarType dtype, uint64_t seed = 1) {
  const auto activation = [&](uint64_t i) { return normal({s.B, s.N, s.H, s.D}, 10 * seed + i, dtype); };
  LinearAttentionInputs in{activation(0), activation(1), activation(2), {}, {}, {}};
  if (!has_projection(map)) return in;
  const auto* taylor = std::get_if<Taylor2MapConfig>(&map);
  const int64_t P = taylor ? taylor->projected_dim : s.D;
  const auto projection = [&](uint64_t i) { return (normal({s.H, s.D, P}, 10 * seed + i) / std::sqrt(double(s.D))).to(dtype); };
  in.w_q = projection(3);
  in.w_k = projection(4);
  return in;
}

inline LinearAttentionInputs to_dtype(const LinearAttentionInputs& in, at::ScalarType dtype) {
  const auto cast = [&](const at::Tensor& x) { return x.defined() ? x.to(dtype) : x; };
  return {cast(in.q), cast(in.k), cast(in.v), cast(in.w_q), cast(in.w_k), in.num_valid};
}

// The tensors that take gradients, and the inputs over given ones.
inline std::vector<at::Tensor> leaves_of(const LinearAttentionInputs& in) {
  std::vector<at::Tensor> leaves = {in.q, in.k, in.v};
  if (in.w_q.defined()) leaves.insert(leaves.end(), {in.w_q, in.w_k});
  return leaves;
}
inline LinearAttentionInputs with_leaves(const LinearAttentionInputs& in, const std::vector<at::Tensor>& leaves) {
  return {leaves[0], leaves[1], leaves[2], leaves.size() > 3 ? leaves[3] : at::Tensor(), leaves.size() > 3 ? leaves[4] : at::Tensor(), in.num_valid};
}

}  // namespace linden::test
