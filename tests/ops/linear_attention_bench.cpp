// Times of the blocked path beside LibTorch's own expression; hidden, run by name: test_ops "[.bench]".
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <cstdio>

#include "ops/reference/linear_attention.h"
#include "tests/ops/attention_inputs.h"

using namespace linden;
using namespace linden::test;

namespace {

double median_ms(const std::function<void()>& action) {
  std::vector<double> times;
  for (int i = 0; i < 25; ++i) {
    const auto start = std::chrono::steady_clock::now();
    action();
    times.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
  }
  std::ranges::nth_element(times, times.begin() + 12);
  return times[12];
}

}  // namespace

TEST_CASE("linear attention: times at (1, 2048, 4, 64)", "[.bench]") {
  std::printf("%d threads, ms (median of 25): operator, LibTorch's expression\n", at::get_num_threads());
  for (const std::string& name : feature_map_names()) {
    for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
      const FeatureMapConfig map = feature_map_of(name);
      const LinearAttentionInputs in = attention_inputs(map, {1, 2048, 4, 64}, dtype);
      std::vector<at::Tensor> leaves = leaves_of(in);
      for (at::Tensor& leaf : leaves) leaf.requires_grad_();
      const auto forward = [&](bool ours) {
        const at::NoGradGuard no_grad;
        return median_ms([&] { ours ? linear_attention(in, {map}) : reference::linear_attention_state(in, map); });
      };
      const auto both = [&](bool ours) {
        const at::Tensor cotangent = at::ones(in.q.sizes(), in.q.options());
        return median_ms(
            [&] { torch::autograd::grad({ours ? linear_attention(in, {map}) : reference::linear_attention_state(in, map)}, leaves, {cotangent}); });
      };
      std::printf("%-13s %-9s forward %7.2f %7.2f   forward and backward %7.2f %7.2f\n", name.c_str(), c10::toString(dtype), forward(true), forward(false),
                  both(true), both(false));
      CHECK(forward(true) > 0);
    }
  }
}
