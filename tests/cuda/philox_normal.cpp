// The GPU's noise against the CPU's: the same words, normals within a few ulps.
#include "ops/philox_normal.h"

#include <ATen/ATen.h>
#include <ATen/Context.h>

#include <catch2/catch_test_macros.hpp>

using namespace linden;

TEST_CASE("GPU normals equal the CPU's to a few ulps, at odd sizes and every row", "[cuda][philox]") {
  if (!at::hasCUDA()) SKIP("no CUDA device");
  const at::Tensor indices = at::tensor(std::vector<int64_t>{0, 7, 123456789, 5000000000}), steps = at::tensor(std::vector<int64_t>{1, 50, 1000, 3});
  for (const std::vector<int64_t>& shape : {std::vector<int64_t>{1}, {3}, {4}, {7, 9}, {1, 32, 32}, {3, 1025}}) {
    const at::Tensor cpu = philox_normal(11, Purpose::kTransition, indices, steps, shape);
    const at::Tensor gpu = philox_normal(11, Purpose::kTransition, indices.cuda(), steps.cuda(), shape).cpu();
    CHECK(gpu.sizes() == cpu.sizes());
    // Absolute: sin and cos near their zeros lose relative, not absolute, accuracy.
    CHECK((gpu - cpu).abs().max().item<double>() <= 4e-6);
  }
}

TEST_CASE("a row's GPU noise is bit-equal in any batch", "[cuda][philox]") {
  if (!at::hasCUDA()) SKIP("no CUDA device");
  const at::Tensor indices = at::arange(300, at::kLong).cuda(), steps = at::full({300}, 9, at::kLong).cuda();
  const at::Tensor together = philox_normal(1, Purpose::kTransition, indices, steps, {1, 32, 32});
  for (int64_t row : {0, 17, 299}) {
    const at::Tensor alone = philox_normal(1, Purpose::kTransition, indices.narrow(0, row, 1), steps.narrow(0, row, 1), {1, 32, 32});
    CHECK(at::equal(alone[0], together[row]));
  }
}
