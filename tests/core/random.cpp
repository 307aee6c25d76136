// Random streams: known Philox words, moments, and independence of batch and threads.
#include "core/random.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <mutex>
#include <set>
#include <thread>

using namespace linden;

TEST_CASE("Philox4x32-10 gives the published words", "[unit]") {
  // Known answers of Random123 (kat_vectors, philox4x32 10).
  CHECK(philox({0, 0, 0, 0}, 0) == std::array<uint32_t, 4>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(philox({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, 0xffffffffffffffffull) ==
        std::array<uint32_t, 4>{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, 0x299f31d0a4093822ull) ==
        std::array<uint32_t, 4>{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("a sample's noise does not depend on its batch or on threads", "[unit]") {
  const std::vector<int64_t> indices = {4, 9, 1000000007, 2}, steps = {50, 3, 7, 50};
  const int threads = at::get_num_threads();
  const at::Tensor together = normal_rows(7, Purpose::kTransition, indices, steps, {3, 67, 33});
  at::set_num_threads(1);
  for (size_t i = 0; i < indices.size(); ++i) {
    const at::Tensor alone = normal_rows(7, Purpose::kTransition, {&indices[i], 1}, {&steps[i], 1}, {3, 67, 33});
    CHECK(at::equal(alone[0], together[static_cast<int64_t>(i)]));
  }
  at::set_num_threads(threads);
}

// Without -fopenmp LibTorch's template is a plain loop, and nothing else shows it.
TEST_CASE("parallel loops run on as many threads as are asked for", "[unit]") {
  const int before = at::get_num_threads();
  at::set_num_threads(2);
  std::mutex mutex;
  std::set<std::thread::id> threads;
  at::parallel_for(0, 2, 1, [&](int64_t, int64_t) {
    const std::lock_guard lock(mutex);
    threads.insert(std::this_thread::get_id());
  });
  at::set_num_threads(before);
  CHECK(threads.size() == 2);
}

TEST_CASE("streams differ by seed, purpose, index and step", "[unit]") {
  float base[4], other[4];
  fill_normal(1, Purpose::kTransition, 5, 9, base);
  fill_normal(2, Purpose::kTransition, 5, 9, other);
  CHECK_FALSE(std::equal(base, base + 4, other));
  fill_normal(1, Purpose::kInitialState, 5, 9, other);
  CHECK_FALSE(std::equal(base, base + 4, other));
  fill_normal(1, Purpose::kTransition, 6, 9, other);
  CHECK_FALSE(std::equal(base, base + 4, other));
  fill_normal(1, Purpose::kTransition, 5, 8, other);
  CHECK_FALSE(std::equal(base, base + 4, other));
}

TEST_CASE("normals have the moments of a normal", "[unit]") {
  std::vector<float> x(400000);
  fill_normal(3, Purpose::kEvaluation, 0, 0, x);
  double m1 = 0, m2 = 0, m4 = 0;
  for (float v : x) {
    m1 += v;
    m2 += double(v) * v;
    m4 += double(v) * v * v * v;
  }
  const double n = static_cast<double>(x.size());
  CHECK(m1 / n == Catch::Approx(0).margin(0.007));
  CHECK(m2 / n == Catch::Approx(1).margin(0.01));
  CHECK(m4 / n == Catch::Approx(3).margin(0.07));
}

TEST_CASE("permutation holds every number once and moves them", "[unit]") {
  auto order = permutation(1, Purpose::kData, 0, 1000);
  CHECK(order != permutation(1, Purpose::kData, 1, 1000));
  std::sort(order.begin(), order.end());
  for (int64_t i = 0; i < 1000; ++i) REQUIRE(order[i] == i);
}
