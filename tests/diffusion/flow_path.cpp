// The rectified-flow path and classifier-free guidance.
#include "diffusion/flow_path.h"

#include <ATen/ATen.h>

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "core/error.h"
#include "diffusion/guidance.h"
#include "tests/support/support.h"

using namespace linden;
using Catch::Matchers::ContainsSubstring;

TEST_CASE("flow path: x0 and noise come back from x and velocity", "[unit]") {
  const auto options = at::TensorOptions().dtype(at::kDouble);
  const at::Tensor clean = at::randn({3, 2, 4}, options), noise = at::randn({3, 2, 4}, options), sigma = at::tensor(std::vector<double>{0.0, 0.3, 1.0});
  const at::Tensor x = flow_interpolate(clean, noise, sigma), u = flow_velocity(clean, noise);
  CHECK(at::equal(x[0], clean[0]));
  CHECK(at::equal(x[2], noise[2]));
  CHECK(at::allclose(x[1], 0.7 * clean[1] + 0.3 * noise[1], 0, 1e-14));
  CHECK(at::allclose(flow_clean(x, u, sigma), clean, 0, 1e-14));
  CHECK(at::allclose(flow_noise(x, u, sigma), noise, 0, 1e-14));
  const at::Tensor later = flow_interpolate(clean, noise, sigma + 1e-3);  // the path is straight
  CHECK(at::allclose((later - x) / 1e-3, u, 0, 1e-10));
}

TEST_CASE("flow path: the shift keeps both ends, composes by product, and is undone by its inverse", "[unit]") {
  for (const double shift : {0.5, 1.0, 3.0, 8.0}) {
    CHECK(shift_sigma(0.0, shift) == 0.0);
    CHECK(shift_sigma(1.0, shift) == 1.0);
    CHECK(shift_sigma(shift_sigma(0.4, shift), 1.0 / shift) == Catch::Approx(0.4).epsilon(1e-14));
    CHECK(shift_sigma(shift_sigma(0.4, shift), 5.0) == Catch::Approx(shift_sigma(0.4, 5.0 * shift)).epsilon(1e-14));
  }
  CHECK(shift_sigma(0.5, 3.0) == 0.75);
}

TEST_CASE("flow path: shapes that do not fit are said", "[unit]") {
  const at::Tensor x = at::zeros({3, 2});
  CHECK(test::message_of([&] { flow_interpolate(x, x, at::zeros({2})); }) ==
        "flow path: sigma has 2 values in 1 dimensions, wanted one value a row of the 3 rows");
  CHECK(test::message_of([&] { flow_velocity(x, at::zeros({2})); }) == "flow path: clean and noise differ in shape (6 and 2 elements)");
  CHECK(test::message_of([&] { flow_clean(x, at::zeros({2}), at::zeros({3})); }) == "flow path: x and velocity differ in shape (6 and 2 elements)");
  CHECK(test::message_of([] { shift_sigma(0.5, 0.0); }) == "flow path: shift is 0, wanted a number above 0");
}

TEST_CASE("guidance: the two conventions are one formula with w one apart", "[unit]") {
  const at::Tensor c = at::tensor(std::vector<float>{1.0f, 2.0f}), u = at::tensor(std::vector<float>{0.0f, 4.0f});
  CHECK(at::equal(guide({"u_plus", 5.0}, c, u), at::tensor(std::vector<float>{5.0f, -6.0f})));
  CHECK(at::equal(guide({"c_plus", 5.0}, c, u), at::tensor(std::vector<float>{6.0f, -8.0f})));
  CHECK(at::equal(guide({"c_plus", 4.0}, c, u), guide({"u_plus", 5.0}, c, u)));
  CHECK(at::equal(guide({"u_plus", 0.0}, c, u), u));
  CHECK(at::equal(guide({"u_plus", 1.0}, c, u), c));
  CHECK(at::equal(guide({"c_plus", 0.0}, c, u), c));
  CHECK_FALSE(guidance_needs_unconditional({"u_plus", 1.0}));
  CHECK_FALSE(guidance_needs_unconditional({"c_plus", 0.0}));
  CHECK(guidance_needs_unconditional({"c_plus", 1.0}));
}

TEST_CASE("guidance: what is wrong is said", "[unit]") {
  const at::Tensor c = at::zeros({2}), u = at::zeros({3});
  CHECK(test::message_of([&] { guide({}, c, u); }) == "guidance: the conditional output has 2 elements, the unconditional one 3; wanted one shape");
  CHECK(test::message_of([&] { guide({"plus", 1.0}, c, c); }) == "guidance: convention is 'plus', wanted 'u_plus' or 'c_plus'");
  GuidanceConfig config;
  CHECK_THAT(test::message_of([&] { from_json(R"({"convention": "cplus"})", "a.json", config); }),
             ContainsSubstring("convention is \"cplus\", allowed: u_plus, c_plus"));
  CHECK_THROWS_AS(from_json(R"({"scale": -1})", "a.json", config), ConfigError);
}
