// RMSNorm with rotary embedding: the formula by complex numbers, gradients, the split of axes, bad input.
#include "ops/rms_norm_rotary.h"

#include <ATen/ATen.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cmath>
#include <complex>

#include "tests/support/gradcheck.h"
#include "tests/support/support.h"

using namespace linden;
using namespace linden::test;
using Catch::Matchers::ContainsSubstring;

TEST_CASE("rotary embedding: the axes share a head as Wan's do", "[unit]") {
  CHECK(rotary_axis_dims(128) == std::array<int64_t, 3>{44, 42, 42});
  CHECK(rotary_axis_dims(96) == std::array<int64_t, 3>{32, 32, 32});
  CHECK(rotary_axis_dims(64) == std::array<int64_t, 3>{24, 20, 20});
  CHECK(rotary_axis_dims(32) == std::array<int64_t, 3>{12, 10, 10});
  CHECK_THAT(message_of([] { rotary_axis_dims(7); }), ContainsSubstring("head dim is 7, wanted an even number from 6 on"));
}

TEST_CASE("RMSNorm with rotary: one head by complex numbers, element by element", "[unit]") {
  constexpr int64_t F = 2, Y = 3, X = 4, H = 2, D = 128, M = H * D;
  const at::Tensor x = normal({1, F * Y * X, M}, 1), weight = normal({M}, 2);
  const at::Tensor out = rms_norm_rotary(x, weight, H, make_rotary_table({F, Y, X}, D, at::kDouble));
  double worst = 0;
  for (int64_t n = 0; n < F * Y * X; ++n) {
    const double rms = std::sqrt((x[0][n] * x[0][n]).mean().item<double>() + 1e-6);
    const int64_t position[3] = {n / (Y * X), n / X % Y, n % X};
    for (int64_t pair = 0; pair < D / 2; ++pair) {
      const int64_t axis = pair < 22 ? 0 : pair < 43 ? 1 : 2, first = axis == 0 ? 0 : axis == 1 ? 22 : 43, dims = axis == 0 ? 44 : 42;
      const double angle = position[axis] * std::pow(10000.0, -2.0 * (pair - first) / dims);
      const int64_t at = D + 2 * pair;  // head 1
      const auto normed = [&](int64_t i) { return x[0][n][i].item<double>() / rms * weight[i].item<double>(); };
      const std::complex<double> turned = std::complex<double>(normed(at), normed(at + 1)) * std::polar(1.0, angle);
      worst = std::max(
          {worst, std::abs(turned.real() - out[0][n][1][2 * pair].item<double>()), std::abs(turned.imag() - out[0][n][1][2 * pair + 1].item<double>())});
    }
  }
  CHECK(worst < 1e-13);
}

TEST_CASE("rotary embedding: scores depend on the distance along each axis alone", "[unit]") {
  constexpr int64_t D = 64;
  const RotaryTable table = make_rotary_table({4, 4, 4}, D, at::kDouble);
  const at::Tensor ones = at::ones({D}, at::kDouble);
  const at::Tensor q = rms_norm_rotary(normal({1, 1, D}, 1).expand({1, 64, D}), ones, 1, table)[0].squeeze(1);  // the same vector everywhere
  const at::Tensor k = rms_norm_rotary(normal({1, 1, D}, 2).expand({1, 64, D}), ones, 1, table)[0].squeeze(1);
  const at::Tensor scores = at::matmul(q, k.t());  // [64, 64]
  const auto token = [](int64_t f, int64_t y, int64_t x) { return 16 * f + 4 * y + x; };
  const auto score = [&](int64_t i, int64_t j) { return scores[i][j].item<double>(); };
  CHECK(std::abs(score(token(0, 0, 0), token(1, 2, 1)) - score(token(2, 1, 2), token(3, 3, 3))) < 1e-12);
  CHECK(std::abs(score(token(0, 0, 0), token(1, 2, 1)) - score(token(0, 0, 0), token(1, 1, 2))) > 1e-3);
}

TEST_CASE("RMSNorm with rotary: gradients equal central differences, with and without a table", "[unit]") {
  const at::Tensor x = normal({2, 12, 64}, 3), weight = normal({64}, 4);
  for (const RotaryTable& table : {RotaryTable{}, make_rotary_table({1, 3, 4}, 32, at::kDouble)})
    CHECK(gradient_error([&](const std::vector<at::Tensor>& leaves) { return rms_norm_rotary(leaves[0], leaves[1], 2, table); }, {x, weight}) < 1e-7);
}

TEST_CASE("RMSNorm with rotary: bf16 is fp32 inside, and a slice of a fused projection needs no copy", "[unit]") {
  const at::Tensor fused = normal({2, 6, 3 * 64}, 5, at::kBFloat16), x = fused.narrow(2, 64, 64), weight = normal({64}, 6, at::kFloat);
  const RotaryTable table = make_rotary_table({1, 2, 3}, 32);
  const at::Tensor out = rms_norm_rotary(x, weight, 2, table);
  CHECK(out.scalar_type() == at::kBFloat16);
  CHECK(out.is_contiguous());
  CHECK(at::equal(out, rms_norm_rotary(x.contiguous(), weight, 2, table)));
  CHECK(at::equal(out, rms_norm_rotary(x.to(at::kFloat), weight, 2, table).to(at::kBFloat16)));
}

TEST_CASE("RMSNorm with rotary: bad input is named", "[unit]") {
  const at::Tensor x = at::zeros({1, 6, 64}), weight = at::ones({64});
  CHECK_THAT(message_of([&] { rms_norm_rotary(x[0], weight, 2, {}); }), ContainsSubstring("x has shape [6, 64], wanted rank 3 [B, N, M]"));
  CHECK_THAT(message_of([&] { rms_norm_rotary(x, weight, 3, {}); }), ContainsSubstring("width 64 does not split into 3 heads"));
  CHECK_THAT(message_of([&] { rms_norm_rotary(x, at::ones({32}), 2, {}); }), ContainsSubstring("weight has shape [32], wanted [M] = [64]"));
  CHECK_THAT(message_of([&] {
               rms_norm_rotary(x, weight, 2, make_rotary_table({1, 2, 2}, 32));
             }),
             ContainsSubstring("the table has shapes [4, 16] and [4, 16], wanted [N, D/2] = [6, 16]"));
  CHECK_THAT(message_of([&] { make_rotary_table({0, 2, 2}, 32); }), ContainsSubstring("the grid is [0, 2, 2], wanted frames, rows and columns from 1 on"));
}
