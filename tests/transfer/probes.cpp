// Probes on clips and velocity errors whose answers are known by hand.
#include <ATen/ATen.h>

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cmath>
#include <limits>

#include "tests/support/support.h"
#include "transfer/probes.h"

namespace linden {
namespace {

using Catch::Approx;
using Catch::Matchers::ContainsSubstring;

TEST_CASE("clips are probed one by one", "[unit]") {
  // A clip that jumps from -2 to 2 and back, one that stands still at 0.5, each 1 x 3 frames of 2 x 2.
  at::Tensor clips = at::full({2, 1, 3, 2, 2}, 0.5);
  clips[0][0][0].fill_(-2);
  clips[0][0][1].fill_(2);
  clips[0][0][2].fill_(-2);
  clips[0][0][2][0][0].fill_(1);  // |x| = 1 is shown as it is
  const ClipProbes probes = probe_clips(clips);
  CHECK(probes.saturated[0].item<double>() == Approx(11.0 / 12));
  CHECK(probes.saturated[1].item<double>() == 0);
  const double mean = (4 * -2 + 4 * 2 + 3 * -2 + 1) / 12.0;
  CHECK(probes.deviation[0].item<double>() == Approx(std::sqrt((11 * 4 + 1) / 12.0 - mean * mean)));
  CHECK(probes.deviation[1].item<double>() == 0);
  CHECK(probes.motion[0].item<double>() == Approx((4 * 4 + 3 * 4 + 1) / 8.0));
  CHECK(probes.motion[1].item<double>() == 0);
  CHECK(probes.motion.scalar_type() == at::kFloat);
  CHECK(batch_means(probes)[2].item<double>() == Approx(29.0 / 16));
  CHECK(probe_clips(at::ones({1, 3, 1, 2, 2}, at::kBFloat16)).motion.item<double>() == 0);
  CHECK_THAT(test::message_of([] { probe_clips(at::zeros({2, 3, 4, 5})); }), ContainsSubstring("wanted clips [B, C, F, Y, X]"));
}

TEST_CASE("values are averaged in bins of sigma", "[unit]") {
  BinnedMean gap(4, at::kCPU);
  const void* address = gap.totals().data_ptr();
  gap.add(at::tensor({1.0, 3.0, 10.0}), at::tensor({0.1, 0.2, 0.99}));
  gap.add(at::tensor({5.0, 20.0, 7.0, 8.0}), at::tensor({0.24, 1.0, -0.5, 0.5}));  // both ends fall inside
  const SigmaBins bins = gap.fetch();
  CHECK(bins.count == std::vector<int64_t>{4, 0, 1, 2});
  CHECK(bins.mean[0] == Approx((1 + 3 + 5 + 7) / 4.0));
  CHECK(std::isnan(bins.mean[1]));
  CHECK(bins.mean[2] == 8);
  CHECK(bins.mean[3] == 15);
  CHECK(bins.low == std::vector<double>{0, 0.25, 0.5, 0.75});
  CHECK(bins.high == std::vector<double>{0.25, 0.5, 0.75, 1});
  gap.clear();
  CHECK(gap.fetch().count == std::vector<int64_t>{0, 0, 0, 0});
  CHECK(gap.totals().data_ptr() == address);
}

TEST_CASE("NaN stays in its own bin, and a NaN sigma in none", "[unit]") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  BinnedMean gap(2, at::kCPU, 0.0, 2.0);
  gap.add(at::tensor({nan, 3.0, 4.0}), at::tensor({0.5, 1.5, nan}));
  const SigmaBins bins = gap.fetch();
  CHECK(std::isnan(bins.mean[0]));
  CHECK(bins.mean[1] == 3);
  CHECK(bins.count == std::vector<int64_t>{1, 1});
}

TEST_CASE("binned means go on from a stored state bit by bit", "[unit]") {
  BinnedMean whole(3, at::kCPU), first(3, at::kCPU), second(3, at::kCPU);
  const at::Tensor values = at::rand({64}) / 3, sigma = at::rand({64});
  whole.add(values, sigma);
  whole.add(values * 0.7, sigma);
  first.add(values, sigma);
  BinnedMeanState read;
  from_json(to_json(first.state()), "state", read);
  second.restore(read);
  second.add(values * 0.7, sigma);
  CHECK(at::equal(second.totals(), whole.totals()));
  BinnedMean spoilt(3, at::kCPU), again(3, at::kCPU);
  spoilt.add(at::tensor({std::numeric_limits<double>::quiet_NaN()}), at::tensor({0.1}));
  BinnedMeanState stored;
  from_json(to_json(spoilt.state()), "state", stored);
  again.restore(stored);
  CHECK(std::isnan(again.fetch().mean[0]));
  CHECK_THAT(test::message_of([&] { BinnedMean(4, at::kCPU).restore(read); }), ContainsSubstring("3 sums and 3 counts, wanted 4 bins"));
}

}  // namespace
}  // namespace linden
