// Group norm with shift and SiLU on the CPU: the formula, and what is refused.
#include "ops/group_norm_silu.h"

#include <ATen/ATen.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "core/error.h"
#include "ops/bias_residual.h"

using namespace linden;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

TEST_CASE("group norm with shift and SiLU is its formula, in both layouts", "[unit]") {
  const at::Tensor x = at::randn({2, 6, 3, 5}, at::kDouble), shift = at::randn({2, 6}, at::kDouble);
  const at::Tensor weight = at::randn({6}, at::kDouble), bias = at::randn({6}, at::kDouble);
  const at::Tensor shifted = (x + shift.view({2, 6, 1, 1})).view({2, 3, 2 * 15});
  const at::Tensor mean = shifted.mean(2, true), variance = shifted.var(2, /*unbiased=*/false, true);
  const at::Tensor normed = ((shifted - mean) / (variance + 1e-3).sqrt()).view({2, 6, 3, 5});
  const at::Tensor z = normed * weight.view({1, 6, 1, 1}) + bias.view({1, 6, 1, 1});
  for (at::MemoryFormat format : {at::MemoryFormat::Contiguous, at::MemoryFormat::ChannelsLast}) {
    const at::Tensor input = x.contiguous(format);
    CHECK(at::allclose(group_norm_silu(input, shift, weight, bias, {3, 1e-3}), z * z.sigmoid(), 1e-10, 1e-12));
    CHECK(at::allclose(group_norm_silu(input, shift, weight, bias, {3, 1e-3, false}), z, 1e-10, 1e-12));
    CHECK(at::equal(input, x.contiguous(format)));  // not written over
  }
}

TEST_CASE("group norm names the argument that does not fit", "[unit]") {
  const at::Tensor x = at::randn({2, 6, 3, 5}), six = at::ones({6}), shift = at::zeros({2, 6});
  const auto refuses = [](const auto& call, const std::string& text) { CHECK_THROWS_MATCHES(call(), CheckError, MessageMatches(ContainsSubstring(text))); };
  refuses([&] { group_norm_silu(x[0], shift, six, six, {3}); }, "x is [6, 3, 5], wanted [B, C, Y, X]");
  refuses([&] { group_norm_silu(x, shift, six, six, {4}); }, "6 channels do not split into 4 groups");
  refuses([&] { group_norm_silu(x, shift, at::ones({5}), six, {3}); }, "weight is [5] on cpu, wanted [6] on cpu");
  refuses([&] { group_norm_silu(x, shift[0], six, six, {3}); }, "shift is [6], wanted [2, 6]");
  refuses([&] { bias_residual(x, at::ones({5}), x); }, "bias [5]");
}

TEST_CASE("bias and residual", "[unit]") {
  const at::Tensor x = at::randn({2, 4, 3, 3}), residual = at::randn({2, 4, 3, 3}), bias = at::randn({4});
  CHECK(at::allclose(bias_residual(x.clone(), bias, residual), x + bias.view({1, 4, 1, 1}) + residual));
}
