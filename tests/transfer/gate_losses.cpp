// The gates' two losses: values and gradients by hand, the exponent's schedule, the rectified sigmoid.
#include <ATen/ATen.h>

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <cmath>

#include "core/error.h"
#include "tests/support/support.h"
#include "transfer/gate_losses.h"

namespace linden {
namespace {

using Catch::Approx;
using Catch::Matchers::ContainsSubstring;

at::Tensor leaf(const std::vector<double>& values) { return at::tensor(values, at::kDouble).requires_grad_(); }
at::Tensor scalar(double value) { return at::scalar_tensor(value, at::kDouble); }

TEST_CASE("the count of linear layers and its gradient", "[unit]") {
  // 0.5 counts as linear: three of five.
  for (const int64_t target : {0, 2, 3, 5}) {
    const at::Tensor r = leaf({0.0, 0.3, 0.5, 0.51, 1.0});
    const at::Tensor loss = count_constraint(r, target);
    const double miss = 3.0 - static_cast<double>(target);
    CHECK(loss.item<double>() == miss * miss);
    loss.backward();
    CHECK(at::equal(r.grad(), at::full({5}, -2 * miss, at::kDouble)));
  }
  const at::Tensor r = at::full({30}, 0.99f).requires_grad_();
  count_constraint(r, 16).backward();
  CHECK(at::equal(r.grad(), at::full({30}, 32.0f)));  // too few: every r is pushed down
}

TEST_CASE("decisiveness is 0 at 0 and 1, one a layer at 1/2, with the gradient of its formula", "[unit]") {
  for (const double alpha : {1.0, 1.5, 2.0, 4.0, 20.0}) {
    CHECK(decisiveness(leaf({0, 1, 1, 0}), scalar(alpha)).item<double>() == 0);
    CHECK(decisiveness(leaf({0.5, 0.5, 0.5}), scalar(alpha)).item<double>() == 3);
    const std::vector<double> values = {0, 0.1, 0.5, 0.7, 0.99, 1};
    const at::Tensor r = leaf(values);
    decisiveness(r, scalar(alpha)).backward();
    for (size_t i = 0; i < values.size(); ++i) {
      const double d = 2 * values[i] - 1;
      const double wanted = d == 0 ? 0 : -2 * alpha * std::pow(std::abs(d), alpha - 1) * (d > 0 ? 1 : -1);
      CHECK(r.grad()[static_cast<int64_t>(i)].item<double>() == Approx(wanted).margin(1e-12));
    }
  }
  // The push at r = 1 under alpha = 20 and lambda = 0.01 is -0.40, stronger than 16 missing layers' +0.32.
  const at::Tensor r = leaf({1.0});
  (0.01 * decisiveness(r, scalar(20))).backward();
  CHECK(r.grad().item<double>() == Approx(-0.4));
}

TEST_CASE("the exponent's schedule", "[unit]") {
  AlphaScheduleConfig config;
  CHECK(alpha_at(config, 0) == 20);
  CHECK(alpha_at(config, 0.5) == 11);
  CHECK(alpha_at(config, 1) == 2);
  CHECK(alpha_at(config, 1.7) == 2);
  CHECK(regulariser_on(config, 0) == 1);
  config.warmup = 0.2;
  CHECK(alpha_at(config, 0.1) == 20);
  CHECK(alpha_at(config, 0.6) == Approx(11));
  CHECK(alpha_at(config, 1) == Approx(2));
  CHECK(regulariser_on(config, 0.19) == 0);
  CHECK(regulariser_on(config, 0.2) == 1);
  config.warmup = 1;
  CHECK(alpha_at(config, 1) == 20);
  config.shape = "fixed";
  config.start = 4;
  config.warmup = 0;
  CHECK(alpha_at(config, 0.9) == 4);
}

TEST_CASE("the rectified sigmoid and its inverse", "[unit]") {
  for (const double r : {0.01, 0.3, 0.5, 0.77, 0.99}) CHECK(rectified_sigmoid(scalar(inverse_rectified_sigmoid(r))).item<double>() == Approx(r).epsilon(1e-12));
  CHECK(rectified_sigmoid(scalar(inverse_rectified_sigmoid(1))).item<double>() == Approx(1));
  CHECK(rectified_sigmoid(scalar(inverse_rectified_sigmoid(0))).item<double>() == Approx(0).margin(1e-12));
  CHECK(at::allclose(rectified_sigmoid(at::tensor({-20.0, 0.0, 20.0}, at::kDouble)), at::tensor({0.0, 0.5, 1.0}, at::kDouble), 1e-12, 0));
  // Between the clips the slope is 1.2 s (1 - s); on them it is 0.
  const at::Tensor v = leaf({-9, 0, 9});
  rectified_sigmoid(v).sum().backward();
  CHECK(at::allclose(v.grad(), at::tensor({0.0, 0.3, 0.0}, at::kDouble)));
}

TEST_CASE("gate losses say what they were given", "[unit]") {
  CHECK_THAT(test::message_of([] { count_constraint(at::zeros({3}), 4); }), ContainsSubstring("4 linear layers wanted of 3"));
  CHECK_THAT(test::message_of([] { count_constraint(at::zeros({3, 2}), 1); }), ContainsSubstring("r has 2 dimensions"));
  CHECK_THAT(test::message_of([] { decisiveness(at::zeros({3}), at::ones({3})); }), ContainsSubstring("wanted a scalar on r's device"));
  CHECK_THAT(test::message_of([] { inverse_rectified_sigmoid(1.5); }), ContainsSubstring("r is 1.5, wanted 0..1"));
  AlphaScheduleConfig config;
  CHECK_THAT(test::message_of([&] { from_json(R"({"end": 0.5})", "a.json", config); }), ContainsSubstring("end"));
}

}  // namespace
}  // namespace linden
