// Distances between sample sets: closed forms of Gaussians, independence of batches and of order, and the values of
// pytorch-fid, torch-fidelity and scikit-learn (scripts/golden/make_evaluate.py).
#include <ATen/ATen.h>

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <limits>
#include <map>

#include "core/config.h"
#include "core/error.h"
#include "evaluate/distances.h"
#include "evaluate/sample_statistics.h"
#include "tests/support/support.h"

using namespace linden;
using Catch::Approx;
using linden::test::message_of;

namespace {

// The formula of make_evaluate.py.
at::Tensor golden_features(int64_t rows, int64_t columns, double seed, double scale = 1, double shift = 0) {
  const at::Tensor i = at::arange(rows, at::kDouble).unsqueeze(1), j = at::arange(columns, at::kDouble).unsqueeze(0);
  return (seed + 1.7 * i * (j + 1) + 0.3 * j * j).sin() * scale + shift * (j + 1);
}

std::map<std::string, double> golden_values() {
  std::map<std::string, double> values;
  for (const JsonScalar& scalar : flatten_json("tests/golden/evaluate/metrics.json")) {
    if (scalar.is_number) values[scalar.path] = scalar.number;
  }
  return values;
}

Moments gaussian(const at::Tensor& mean, const at::Tensor& covariance) { return {2, mean, covariance}; }

at::Tensor normal(int64_t rows, int64_t columns, int64_t seed) {
  at::manual_seed(seed);
  return at::randn({rows, columns}, at::kDouble);
}

}  // namespace

TEST_CASE("Frechet distance of Gaussians in closed form", "[truth]") {
  const at::Tensor zero = at::zeros({2}, at::kDouble);
  SECTION("equal Gaussians") {
    const at::Tensor covariance = at::tensor({2.0, 0.5, 0.5, 1.0}, at::kDouble).reshape({2, 2});
    CHECK(frechet_distance(gaussian(zero, covariance), gaussian(zero, covariance)) < 1e-12);
  }
  SECTION("commuting covariances: |mu|^2 + sum (sigma_1 - sigma_2)^2") {
    const at::Tensor a = at::diag(at::tensor({4.0, 9.0}, at::kDouble)), b = at::diag(at::tensor({1.0, 16.0}, at::kDouble));
    const at::Tensor mean = at::tensor({3.0, -1.0}, at::kDouble);
    CHECK(frechet_distance(gaussian(zero, a), gaussian(mean, b)) == Approx(10 + 1 + 1).epsilon(1e-12));
  }
  SECTION("2 x 2, any covariances: Tr (AB)^{1/2} = sqrt(Tr AB + 2 sqrt(det AB))") {
    const at::Tensor a = at::tensor({2.0, 0.7, 0.7, 1.0}, at::kDouble).reshape({2, 2});
    const at::Tensor b = at::tensor({1.0, -0.4, -0.4, 3.0}, at::kDouble).reshape({2, 2});
    const double trace_ab = a.mm(b).trace().item<double>(), det_ab = (2.0 - 0.49) * (3.0 - 0.16);
    const double expected = 3 + 4 - 2 * std::sqrt(trace_ab + 2 * std::sqrt(det_ab));
    CHECK(frechet_distance(gaussian(zero, a), gaussian(zero, b)) == Approx(expected).epsilon(1e-12));
    CHECK(frechet_distance(gaussian(zero, b), gaussian(zero, a)) == Approx(expected).epsilon(1e-12));
  }
  SECTION("singular covariances") {
    const at::Tensor a = at::diag(at::tensor({4.0, 0.0}, at::kDouble)), b = at::diag(at::tensor({0.0, 9.0}, at::kDouble));
    CHECK(frechet_distance(gaussian(zero, a), gaussian(zero, b)) == Approx(13).epsilon(1e-12));
  }
}

TEST_CASE("moments do not depend on how rows are cut into batches", "[unit]") {
  const at::Tensor rows = normal(1000, 5, 1) * 3 + 100;
  const Moments whole = moments_of(rows);
  for (const int64_t batch : {1, 7, 256, 999}) {
    MomentsAccumulator accumulator;
    for (int64_t first = 0; first < rows.size(0); first += batch) { accumulator.add(rows.narrow(0, first, std::min(batch, rows.size(0) - first))); }
    const Moments streamed = accumulator.moments();
    CHECK(streamed.count == 1000);
    CHECK(at::equal(streamed.mean, whole.mean));
    CHECK(at::equal(streamed.covariance, whole.covariance));
  }
  CHECK(at::allclose(whole.mean, rows.mean(0), 1e-12));
  CHECK(at::allclose(whole.covariance, rows.t().cov(), 1e-10));
}

TEST_CASE("no distance depends on the order of the samples", "[unit]") {
  const at::Tensor x = normal(700, 6, 11) * 2 + 5, y = normal(400, 6, 12) + 5;
  at::manual_seed(13);
  const at::Tensor shuffled = x.index_select(0, at::randperm(700));
  const auto same = [](double value) { return Approx(value).epsilon(1e-12).margin(1e-14); };
  CHECK(frechet_distance(moments_of(shuffled), moments_of(y)) == same(frechet_distance(moments_of(x), moments_of(y))));
  CHECK(kernel_distance(shuffled, y) == same(kernel_distance(x, y)));
  CHECK(mmd_rbf(shuffled, y, 2) == same(mmd_rbf(x, y, 2)));
  CHECK(mmd_rbf_five(shuffled, y) == same(mmd_rbf_five(x, y)));
  CHECK(precision_recall(shuffled, y).precision == precision_recall(x, y).precision);
  CHECK(diversity(shuffled) == same(diversity(x)));
}

TEST_CASE("distances of many features do not depend on where the samples lie", "[truth]") {
  // Above 64 features distances come from a matrix product, which would lose digits far from 0.
  const at::Tensor x = normal(300, 100, 16), y = normal(200, 100, 17) * 1.2, far = at::full({100}, 1000.0, at::kDouble);
  CHECK(mmd_rbf(x + far, y + far, 8) == Approx(mmd_rbf(x, y, 8)).epsilon(1e-9));
  CHECK(mmd_rbf_five(x + far, y + far) == Approx(mmd_rbf_five(x, y)).epsilon(1e-9));
  const PrecisionRecall here = precision_recall(x, y), there = precision_recall(x + far, y + far);
  CHECK(there.precision == here.precision);
  CHECK(there.recall == here.recall);
  // The squared distance of each pair, summed by hand, gives the same kernel mean.
  const at::Tensor squares = (x.unsqueeze(1) - y.unsqueeze(0)).square().sum(2);  // [300, 200]
  const auto mean_kernel = [](const at::Tensor& d) { return (d / -128).exp().mean().item<double>(); };
  const double expected = mean_kernel((x.unsqueeze(1) - x.unsqueeze(0)).square().sum(2)) + mean_kernel((y.unsqueeze(1) - y.unsqueeze(0)).square().sum(2)) -
                          2 * mean_kernel(squares);
  CHECK(mmd_rbf(x, y, 8) == Approx(expected).epsilon(1e-10));
}

TEST_CASE("Frechet distance of samples approaches that of their Gaussians", "[truth]") {
  // N(0, I) and N(m, s^2 I) in d dimensions: |m|^2 + d (1 - s)^2; the bias at n samples a side is about (d / n) of each trace.
  const int64_t d = 3, n = 20000;
  const double s = 1.5;
  const at::Tensor shift = at::tensor({1.0, -2.0, 0.5}, at::kDouble);
  const double expected = 1 + 4 + 0.25 + static_cast<double>(d) * (1 - s) * (1 - s);
  CHECK(frechet_distance(moments_of(normal(n, d, 14)), moments_of(normal(n, d, 15) * s + shift)) == Approx(expected).epsilon(0.02));
}

TEST_CASE("MMD of Gaussian samples approaches its closed form", "[truth]") {
  // k = exp(-|x - y|^2 / (2 s^2)) of N(0, 1) and N(m, 1) in one dimension:
  // MMD^2 = 2 s / sqrt(s^2 + 2) (1 - exp(-m^2 / (2 (s^2 + 2))))
  const double s = 1.5, m = 2;
  const at::Tensor x = normal(3000, 1, 2), y = normal(3000, 1, 3) + m;
  const double expected = 2 * s / std::sqrt(s * s + 2) * (1 - std::exp(-m * m / (2 * (s * s + 2))));
  CHECK(mmd_rbf(x, y, s) == Approx(expected).epsilon(0.03));
  CHECK(mmd_rbf(x, x, s) < 1e-12);
  // Two points a distance d apart: h = d^2, so the biased estimate is 2 sum (1 - exp(-2^{-i})).
  const at::Tensor a = at::zeros({1, 1}, at::kDouble), b = at::full({1, 1}, 3.0, at::kDouble);
  double five = 0;
  for (int i = -2; i <= 2; ++i) five += 2 * (1 - std::exp(-std::ldexp(1.0, -i)));
  CHECK(mmd_rbf_five(a, b) == Approx(five).epsilon(1e-12));
  CHECK(mmd_rbf_five(a, a) == 0);
}

TEST_CASE("metrics equal pytorch-fid, torch-fidelity and scikit-learn", "[golden]") {
  auto golden = golden_values();
  const at::Tensor x = golden_features(60, 6, 0.5), y = golden_features(45, 6, 2.0, 1.3, 0.05);
  const at::Tensor wide_x = golden_features(700, 16, 0.25), wide_y = golden_features(600, 16, 4.0, 0.9);
  const auto near = [&](const char* name) { return Approx(golden.at(name)).epsilon(1e-6).margin(1e-9); };
  CHECK(frechet_distance(moments_of(x), moments_of(y)) == near("frechet_distance"));
  CHECK(frechet_distance(moments_of(wide_x), moments_of(wide_y)) == near("frechet_distance_wide"));
  CHECK(kernel_distance(x, y) == near("kernel_distance"));
  CHECK(kernel_distance(wide_x, wide_y) == near("kernel_distance_wide"));
  CHECK(mmd_rbf(x, y, 0.7) == near("mmd_rbf_sigma_0.7"));
  CHECK(mmd_rbf_five(x, y) == near("mmd_rbf_five"));
  CHECK(mmd_rbf_five(wide_x, wide_y) == near("mmd_rbf_five_wide"));
  const PrecisionRecall narrow = precision_recall(x, y), dense = precision_recall(golden_features(400, 3, 0.5), golden_features(300, 3, 0.52, 0.97), 5);
  CHECK(narrow.precision == near("precision"));
  CHECK(narrow.recall == near("recall"));
  CHECK(dense.precision == near("precision_dense"));
  CHECK(dense.recall == near("recall_dense"));
  CHECK(dense.precision == near("torch_fidelity_precision"));
  CHECK(dense.recall == near("torch_fidelity_recall"));
  CHECK(cmmd(x, y) == near("cmmd"));
  CHECK(cmmd(wide_x, wide_y) == near("cmmd_wide"));
  CHECK(kid(wide_x.narrow(0, 0, 600), wide_y).mean == near("torch_fidelity_kid_whole"));
  CHECK(diversity(x) == near("diversity"));
  CHECK(diversity(wide_y) == near("diversity_wide"));
  const RewardStatistics rewards = reward_statistics(golden_features(41, 1, 3.0).flatten());
  CHECK(rewards.mean == near("reward_mean"));
  CHECK(rewards.deviation == near("reward_deviation"));
  CHECK(rewards.median == near("reward_median"));
}

TEST_CASE("KID over random subsets agrees with torch-fidelity's within sampling error", "[golden]") {
  auto golden = golden_values();
  const KidEstimate estimate = kid(golden_features(700, 16, 0.25), golden_features(600, 16, 4.0, 0.9), {.num_subsets = 400, .subset_size = 100});
  const double deviation = golden.at("torch_fidelity_kid_deviation");
  CHECK(std::abs(estimate.mean - golden.at("torch_fidelity_kid_mean")) < 3 * deviation * std::sqrt(2.0 / 400));
  CHECK(estimate.deviation == Approx(deviation).epsilon(0.15));
}

TEST_CASE("KID over subsets", "[unit]") {
  const at::Tensor x = normal(300, 4, 4), y = normal(200, 4, 5) * 1.5;
  SECTION("one subset when both sets fit whole") {
    const KidEstimate estimate = kid(x.narrow(0, 0, 200), y);
    CHECK(estimate.num_subsets == 1);
    CHECK(estimate.subset_size == 200);
    CHECK(estimate.mean == Approx(kernel_distance(x.narrow(0, 0, 200), y)).epsilon(1e-12));
  }
  SECTION("a seed gives the same subsets again, another seed others") {
    const KidOptions options{.num_subsets = 20, .subset_size = 50, .seed = 3};
    const KidEstimate estimate = kid(x, y, options);
    CHECK(estimate.mean == kid(x, y, options).mean);
    CHECK(estimate.mean != kid(x, y, {.num_subsets = 20, .subset_size = 50, .seed = 4}).mean);
    CHECK(estimate.deviation > 0);
    // Unbiased: the mean over subsets is near the value of the whole sets.
    CHECK(std::abs(estimate.mean - kernel_distance(x, y)) < 3 * estimate.deviation / std::sqrt(20.0));
  }
}

TEST_CASE("precision and recall of a collapsed generator", "[truth]") {
  const at::Tensor real = normal(400, 2, 6);
  const PrecisionRecall collapsed = precision_recall(real, normal(400, 2, 7) * 0.05);
  CHECK(collapsed.precision > 0.95);
  CHECK(collapsed.recall < 0.1);
  const PrecisionRecall far = precision_recall(real, normal(400, 2, 8) + 100);
  CHECK(far.precision == 0);
  CHECK(far.recall == 0);
  CHECK(precision_recall(real, real).precision == 1);
}

TEST_CASE("bad sets are refused in words", "[unit]") {
  at::Tensor x = normal(10, 3, 9);
  x[4][1] = std::numeric_limits<double>::quiet_NaN();
  CHECK(message_of([&] { moments_of(x); }) ==
        "features: 1 of 10 rows hold NaN or infinity, the first is row 4 (counted from 0). Metrics over them mean nothing: "
        "look at that sample, or at the classifier that made the features");
  CHECK(message_of([] { moments_of(at::zeros({1, 3})); }) == "a covariance needs at least 2 samples, got 1");
  CHECK(message_of([] {
          precision_recall(at::zeros({3, 2}), at::zeros({9, 2}));
        }) == "precision and recall with k = 3 need more than 3 samples on each side, got 3 real and 9 generated");
  CHECK_THROWS_AS(mmd_rbf(at::zeros({3, 2}), at::zeros({3, 4}), 1), CheckError);
  CHECK_THROWS_AS(mmd_rbf(at::zeros({3, 2}), at::zeros({3, 2}), 0), CheckError);
}
