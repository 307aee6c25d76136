// Statistics of one sample set against values counted by hand.
#include <ATen/ATen.h>

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>
#include <vector>

#include "core/error.h"
#include "evaluate/sample_statistics.h"
#include "tests/support/support.h"

using namespace linden;
using Catch::Approx;
using linden::test::message_of;

TEST_CASE("diversity is the mean pairwise cosine distance", "[unit]") {
  CHECK(diversity(at::eye(4)) == Approx(1));                               // orthogonal
  CHECK(diversity(at::ones({5, 3})) == Approx(0).margin(1e-12));           // one direction
  CHECK(diversity(at::tensor({1.0, -2.0}).reshape({2, 1})) == Approx(2));  // opposite
  // Pairs (e1, e1), (e1, e2), (e1, e2): distances 0, 1, 1. Length plays no part.
  CHECK(diversity(at::tensor({1.0, 0.0, 5.0, 0.0, 0.0, 3.0}).reshape({3, 2})) == Approx(2.0 / 3));
  CHECK(diversity(at::tensor({0.0, 0.0, 1.0, 0.0}).reshape({2, 2})) == Approx(1));  // a zero row
  CHECK(message_of([] { diversity(at::ones({1, 3})); }) == "diversity is over pairs: it needs at least 2 samples, got 1");
}

TEST_CASE("duplicates are counted exactly", "[unit]") {
  const at::Tensor samples = at::tensor({1.f, 2.f, 1.f, 2.f, 1.f, 2.0000002f, 3.f, 4.f, 1.f, 2.f}).reshape({5, 1, 2});
  CHECK(num_duplicates(samples) == 2);
  DuplicateCounter counter;
  for (int64_t row = 0; row < 5; ++row) counter.add(samples.narrow(0, row, 1));
  CHECK(counter.count() == 2);
  CHECK(num_duplicates(at::arange(10)) == 0);
  CHECK(num_duplicates(at::zeros({0, 3})) == 0);
  CHECK(num_duplicates(at::zeros({7, 2, 2}, at::kByte)) == 6);
}

TEST_CASE("what a classifier reads", "[unit]") {
  const at::Tensor logits = at::tensor({9.f, 0.f, 0.f, 0.f, 1.f, 0.f, 0.f, 0.f, 9.f, 0.f, 9.f, 0.f}).reshape({4, 3});
  const std::vector<int64_t> even = {0, 2};
  CHECK(class_share(logits, even) == Approx(0.5));
  CHECK(class_share(logits, std::vector<int64_t>{1}) == Approx(0.5));
  CHECK(accuracy(logits, at::tensor({0, 1, 2, 2}, at::kLong)) == Approx(0.75));
  CHECK(confident_share(logits, 0.9) == Approx(0.75));
  CHECK(message_of([&] { class_share(logits, std::vector<int64_t>{3}); }) == "class 3 is asked for, but the classifier has classes 0..2");
}

TEST_CASE("reward statistics", "[unit]") {
  const RewardStatistics statistics = reward_statistics(at::tensor({-4.0, -1.0, -2.0, -1.0}));
  CHECK(statistics.count == 4);
  CHECK(statistics.mean == Approx(-2));
  CHECK(statistics.deviation == Approx(std::sqrt(2.0)));
  CHECK(statistics.minimum == -4);
  CHECK(statistics.median == Approx(-1.5));
  CHECK(statistics.maximum == -1);
  CHECK(reward_statistics(at::tensor({7.0})).deviation == 0);
  CHECK(message_of([] { reward_statistics(at::zeros({0})); }) == "reward statistics need at least one reward");
}
