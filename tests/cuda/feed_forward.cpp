// Feed-forward without gradients, in half precision: GELU in the product's epilogue.
#include "nn/feed_forward.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <catch2/catch_test_macros.hpp>

#include "tests/cuda/kernel_error.h"

using namespace linden;
using namespace linden::test;

TEST_CASE("feed-forward with GELU in the product's epilogue is as near to fp64 as in two passes", "[cuda]") {
  if (!at::hasCUDA()) SKIP("no CUDA device");
  const at::Tensor x = normal({2, 77, 64}, 1, at::kFloat);
  FeedForward wanted(64, 200), tested(64, 200);
  wanted->to(at::kDouble);
  for (const at::ScalarType dtype : {at::kBFloat16, at::kHalf}) {
    INFO(at::toString(dtype));
    {
      const at::NoGradGuard no_grad;
      for (const auto& item : wanted->named_parameters()) tested->named_parameters()[item.key()].set_data(item.value().to(at::kCUDA, dtype));
    }
    const at::Tensor in = x.to(at::kCUDA, dtype);
    const at::Tensor two_passes = tested(in).detach().to(at::kCPU, at::kDouble);  // gradients are wanted
    const at::NoGradGuard no_grad;
    const at::Tensor epilogue = tested(in).to(at::kCPU, at::kDouble), exact = wanted(x.to(at::kDouble));
    REQUIRE(epilogue.sizes() == exact.sizes());
    const auto error = [&](const at::Tensor& y) { return ((y - exact).norm() / exact.norm()).item<double>(); };
    CHECK(error(epilogue) <= 1.2 * error(two_passes));
  }
}
