#include "evaluate/distances.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/random.h"

namespace linden {

namespace {

constexpr int64_t kBlock = 512;  // rows of a kernel matrix held at once

std::pair<at::Tensor, at::Tensor> checked_pair(const at::Tensor& a, const at::Tensor& b) {
  auto pair = std::pair(checked_features(a, "first set"), checked_features(b, "second set"));
  check(pair.first.size(1) == pair.second.size(1), "the sets have {} and {} features: they must be of one kind", pair.first.size(1), pair.second.size(1));
  check_input(pair.first.size(0) > 0 && pair.second.size(0) > 0, "a distance between sets needs samples on both sides, got {} and {}", pair.first.size(0),
              pair.second.size(0));
  return pair;
}

// Both sets moved so that their pooled mean is 0. Distances stay, and |x|^2 + |y|^2 - 2 x.y loses fewer digits.
std::pair<at::Tensor, at::Tensor> centred(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor mean = (a.sum(0) + b.sum(0)) / static_cast<double>(a.size(0) + b.size(0));
  return {a - mean, b - mean};
}

// Squared distances of rows [first, first + n) of a to all rows of b: [n, S_b]. Few features: difference by difference,
// without cancellation; many: by a matrix product, 14 times as fast at 2048.
at::Tensor squared_distances(const at::Tensor& a, int64_t first, const at::Tensor& b) {
  constexpr int64_t kByMatrixProduct = 1, kByDifferences = 2, kFewFeatures = 64;
  const int64_t n = std::min(kBlock, a.size(0) - first);
  return at::cdist(a.narrow(0, first, n), b, 2.0, a.size(1) <= kFewFeatures ? kByDifferences : kByMatrixProduct).square();
}

// Mean over all pairs of sum_i exp(-d^2 / widths_i).
double mean_kernel(const at::Tensor& a, const at::Tensor& b, const std::vector<double>& widths) {
  double sum = 0;
  for (int64_t first = 0; first < a.size(0); first += kBlock) {
    const at::Tensor distances = squared_distances(a, first, b);
    for (const double width : widths) sum += (distances * (-1.0 / width)).exp().sum().item<double>();
  }
  return sum / (static_cast<double>(a.size(0)) * static_cast<double>(b.size(0)));
}

double biased_mmd(const at::Tensor& x, const at::Tensor& y, const std::vector<double>& widths) {
  const auto [a, b] = centred(x, y);
  return std::max(0.0, mean_kernel(a, a, widths) + mean_kernel(b, b, widths) - 2 * mean_kernel(a, b, widths));
}

// Sum of (x.y / F + 1)^3 over all pairs; over the diagonal of one set.
double polynomial_sum(const at::Tensor& a, const at::Tensor& b) {
  double sum = 0;
  for (int64_t first = 0; first < a.size(0); first += kBlock) {
    const at::Tensor rows = a.narrow(0, first, std::min(kBlock, a.size(0) - first));
    const at::Tensor base = rows.mm(b.t()).div_(static_cast<double>(a.size(1))).add_(1);
    sum += (base.square() * base).sum().item<double>();
  }
  return sum;
}
double polynomial_diagonal(const at::Tensor& a) { return (a.square().sum(1) / static_cast<double>(a.size(1)) + 1).pow(3).sum().item<double>(); }

double unbiased_polynomial_mmd(const at::Tensor& a, const at::Tensor& b) {
  const double m = static_cast<double>(a.size(0)), n = static_cast<double>(b.size(0));
  check_input(m >= 2 && n >= 2, "the unbiased kernel distance needs at least 2 samples on each side, got {} and {}", m, n);
  return (polynomial_sum(a, a) - polynomial_diagonal(a)) / (m * (m - 1)) + (polynomial_sum(b, b) - polynomial_diagonal(b)) / (n * (n - 1)) -
         2 * polynomial_sum(a, b) / (m * n);
}

// The first `count` entries of a random order of 0 .. n-1.
at::Tensor random_rows(uint64_t seed, uint64_t index, int64_t n, int64_t count) {
  const std::vector<int64_t> order = permutation(seed, Purpose::kEvaluation, index, n);
  return at::tensor(std::vector<int64_t>(order.begin(), order.begin() + count), at::kLong);
}

// Squared distance of each row to its k-th nearest other row: [S].
at::Tensor squared_radii(const at::Tensor& rows, int64_t k) {
  std::vector<at::Tensor> radii;
  for (int64_t first = 0; first < rows.size(0); first += kBlock) {
    // The row itself is the nearest, at distance 0.
    radii.push_back(std::get<0>(squared_distances(rows, first, rows).kthvalue(k + 1, 1)));
  }
  return at::cat(radii);
}

// Share of `points` inside some ball (centres [S, F], squared radii [S]).
double covered_share(const at::Tensor& points, const at::Tensor& centres, const at::Tensor& radii) {
  int64_t covered = 0;
  for (int64_t first = 0; first < points.size(0); first += kBlock) {
    covered += squared_distances(points, first, centres).le(radii.unsqueeze(0)).any(1).sum().item<int64_t>();
  }
  return static_cast<double>(covered) / static_cast<double>(points.size(0));
}

}  // namespace

double frechet_distance(const Moments& a, const Moments& b) {
  check(a.mean.size(0) == b.mean.size(0), "Frechet distance between {} and {} features: they must be of one kind", a.mean.size(0), b.mean.size(0));
  const auto [values, vectors] = at::linalg_eigh(a.covariance);
  const at::Tensor root = (vectors * values.clamp_min(0).sqrt()).mm(vectors.t());  // S_1^{1/2}
  const at::Tensor product = root.mm(b.covariance).mm(root);
  const at::Tensor eigenvalues = at::linalg_eigvalsh((product + product.t()) / 2);
  const double trace_of_root = eigenvalues.clamp_min(0).sqrt().sum().item<double>();
  const double distance =
      (a.mean - b.mean).square().sum().item<double>() + a.covariance.trace().item<double>() + b.covariance.trace().item<double>() - 2 * trace_of_root;
  return std::max(0.0, distance);
}

double mmd_rbf(const at::Tensor& a, const at::Tensor& b, double sigma) {
  check(sigma > 0, "the kernel's sigma must be above 0, got {}", sigma);
  const auto [x, y] = checked_pair(a, b);
  return biased_mmd(x, y, {2 * sigma * sigma});
}

double cmmd(const at::Tensor& a, const at::Tensor& b) {
  constexpr double kSigma = 10, kScale = 1000;
  const auto [x, y] = checked_pair(a, b);
  const auto unit = [](const at::Tensor& rows) { return rows / rows.norm(2, 1, true).clamp_min(std::numeric_limits<double>::min()); };
  return kScale * mmd_rbf(unit(x), unit(y), kSigma);
}

double mmd_rbf_five(const at::Tensor& a, const at::Tensor& b) {
  const auto [x, y] = checked_pair(a, b);
  // sum over pairs |x_i - x_j|^2 = 2 n sum |x_i - mean|^2
  const at::Tensor pooled = at::cat({x, y});
  const double n = static_cast<double>(pooled.size(0));
  const double bandwidth = 2 * (pooled - pooled.mean(0)).square().sum().item<double>() / (n - 1);
  if (bandwidth == 0) return 0;
  std::vector<double> widths;
  for (int exponent = -2; exponent <= 2; ++exponent) widths.push_back(std::ldexp(bandwidth, exponent));
  return biased_mmd(x, y, widths);
}

double kernel_distance(const at::Tensor& a, const at::Tensor& b) {
  const auto [x, y] = checked_pair(a, b);
  return unbiased_polynomial_mmd(x, y);
}

KidEstimate kid(const at::Tensor& a, const at::Tensor& b, const KidOptions& options) {
  check(options.num_subsets >= 1 && options.subset_size >= 2, "KID needs at least 1 subset of at least 2 samples, got {} of {}", options.num_subsets,
        options.subset_size);
  const auto [x, y] = checked_pair(a, b);
  KidEstimate estimate;
  estimate.subset_size = std::min({options.subset_size, x.size(0), y.size(0)});
  const bool whole = x.size(0) == estimate.subset_size && y.size(0) == estimate.subset_size;
  estimate.num_subsets = whole ? 1 : options.num_subsets;
  std::vector<double> values;
  for (int64_t subset = 0; subset < estimate.num_subsets; ++subset) {
    const auto index = static_cast<uint64_t>(subset);
    values.push_back(whole ? unbiased_polynomial_mmd(x, y)
                           : unbiased_polynomial_mmd(x.index_select(0, random_rows(options.seed, 2 * index, x.size(0), estimate.subset_size)),
                                                     y.index_select(0, random_rows(options.seed, 2 * index + 1, y.size(0), estimate.subset_size))));
  }
  for (const double value : values) estimate.mean += value / static_cast<double>(values.size());
  double square = 0;
  for (const double value : values) square += (value - estimate.mean) * (value - estimate.mean);
  estimate.deviation = std::sqrt(square / static_cast<double>(values.size()));
  return estimate;
}

PrecisionRecall precision_recall(const at::Tensor& real, const at::Tensor& generated, int64_t k) {
  check(k >= 1, "precision and recall need k >= 1, got {}", k);
  const auto [a, b] = checked_pair(real, generated);
  const auto [x, y] = centred(a, b);
  check_input(x.size(0) > k && y.size(0) > k, "precision and recall with k = {} need more than {} samples on each side, got {} real and {} generated", k, k,
              x.size(0), y.size(0));
  return {covered_share(y, x, squared_radii(x, k)), covered_share(x, y, squared_radii(y, k))};
}

}  // namespace linden
