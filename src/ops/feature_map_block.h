// A feature map on one block of tokens, forward and backward, from plain tensor operations in the accumulator dtype.
#pragma once

#include <ATen/core/Tensor.h>

#include "ops/feature_map.h"

namespace linden {

// x: [H, T, D]. w: [H, D, P], or undefined for maps without projection. key_shift: [H, 1, D] maxima of k over the
// tokens (`exp` only). Returns phi(x): [H, T, R], without gradient.
at::Tensor query_features(const FeatureMapConfig& map, const at::Tensor& x, const at::Tensor& w, const at::Tensor& key_shift);
at::Tensor key_features(const FeatureMapConfig& map, const at::Tensor& x, const at::Tensor& w, const at::Tensor& key_shift);

// dx [H, T, D] from phi(x) and dphi [H, T, R], of either side; adds x^T dy to grad_w [H, D, P] where the map has one.
//   hedgehog:     y = x W, (a, b) = (softmax(y), softmax(-y)): dy = a (da - <a, da>) - b (db - <b, db>); dx = dy W^T
//   softmax:      dx = phi (dphi - <phi, dphi>)
//   elu_plus_one: dx = dphi min(phi, 1), since phi' = 1 where phi = x + 1 > 1 and phi where phi = exp(x) <= 1
//   relu:         dx = dphi [phi > 0]
//   exp:          dx = dphi phi; c and the sum of a row count as constants, since the result does not depend on them
//   taylor2:      du_i = dphi_i + sum over pairs (i, j) of c_ij dphi_ij u_j, twice that for j = i; dx = du W^T
at::Tensor feature_gradient(const FeatureMapConfig& map, const at::Tensor& x, const at::Tensor& w, const at::Tensor& phi, const at::Tensor& grad_phi,
                            at::Tensor& grad_w);

}  // namespace linden
