// Distances between two sets of samples, on features [S, F], all in fp64.
//
// Nothing here knows where features come from: a judge's penultimate layer, Inception, CLIP, the raw
// pixels or 2-D points. Who prints a number names the features beside it.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "evaluate/moments.h"

namespace linden {

// |mu_1 - mu_2|^2 + Tr(S_1 + S_2 - 2 (S_1 S_2)^{1/2})      (Heusel et al. 2017, eq. 6; squared distance)
// The trace of the root comes from the eigenvalues of the symmetric S_1^{1/2} S_2 S_1^{1/2}, negative
// rounding clipped to 0: real for singular covariances too. CheckError if the widths differ.
double frechet_distance(const Moments& a, const Moments& b);

// Biased MMD^2 (V-statistic, >= 0) under k(x, y) = exp(-|x - y|^2 / (2 sigma^2)).
double mmd_rbf(const at::Tensor& a, const at::Tensor& b, double sigma);  // [S_a, F], [S_b, F]

// CMMD's arithmetic on any features: rows brought to length 1, sigma = 10, times 1000 (Jayasumana et al. 2024;
// google-research/google-research cmmd/distance.py). CMMD itself is this on CLIP embeddings.
double cmmd(const at::Tensor& a, const at::Tensor& b);

// Biased MMD^2 under the sum of five kernels exp(-|x - y|^2 / h_i), h_i = h 2^i, i = -2..2, where h is
// the mean squared distance over the pairs (i != j) of both sets pooled: the common 5-bandwidth rule
// (Long et al. 2015, the deep adaptation network's multi-kernel rule). 0 if all points are equal.
double mmd_rbf_five(const at::Tensor& a, const at::Tensor& b);

// Unbiased MMD^2 under (x.y / F + 1)^3 over all rows (Binkowski et al. 2018, "Demystifying MMD GANs", eq. 4).
double kernel_distance(const at::Tensor& a, const at::Tensor& b);

struct KidOptions {
  int64_t num_subsets = 100;
  int64_t subset_size = 1000;  // cut to the smaller set
  uint64_t seed = 0;
};
struct KidEstimate {
  double mean = 0, deviation = 0;  // over subsets (deviation: of the subsets, divided by n; 0 for one subset)
  int64_t num_subsets = 0, subset_size = 0;
};
// kernel_distance over random subsets drawn without replacement. One subset when both sets fit whole.
KidEstimate kid(const at::Tensor& a, const at::Tensor& b, const KidOptions& options = {});

// Precision: the share of `generated` inside the real manifold (a ball around each real sample that
// reaches its k-th nearest real neighbour); recall: roles swapped (Kynkaanniemi et al. 2019, eq. 1-2).
// InputError unless both sets have more than k samples.
struct PrecisionRecall {
  double precision = 0, recall = 0;
};
PrecisionRecall precision_recall(const at::Tensor& real, const at::Tensor& generated, int64_t k = 3);

}  // namespace linden
