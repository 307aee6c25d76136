// Gate + residual + LayerNorm + scale-shift: against LibTorch's layer_norm, gradients, dtypes, bad input.
#include "ops/adaptive_layer_norm.h"

#include <ATen/ATen.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "tests/support/gradcheck.h"
#include "tests/support/support.h"

using namespace linden;
using namespace linden::test;
using Catch::Matchers::ContainsSubstring;

namespace {

constexpr int64_t B = 2, N = 5, M = 24;

AdaptiveLayerNormInputs all_inputs(at::ScalarType dtype = at::kDouble) {
  return {normal({B, N, M}, 1, dtype), normal({B, N, M}, 2, dtype), normal({B, M}, 3, dtype), normal({B, M}, 4, dtype),
          normal({B, M}, 5, dtype),    normal({M}, 6, dtype),       normal({M}, 7, dtype)};
}

}  // namespace

TEST_CASE("adaptive layer norm: the formula by LibTorch's layer_norm, whole and in parts", "[unit]") {
  const AdaptiveLayerNormInputs in = all_inputs();
  const auto wide = [](const at::Tensor& x) { return x.unsqueeze(1); };
  const at::Tensor x = in.residual + wide(in.gate) * in.branch;
  const AdaptiveLayerNormOutputs whole = adaptive_layer_norm(in);
  CHECK(relative_error(whole.residual, x) < 1e-15);
  CHECK(relative_error(whole.normed, at::layer_norm(x, {M}, in.weight, in.bias, 1e-6) * (1 + wide(in.scale)) + wide(in.shift)) < 1e-13);
  const AdaptiveLayerNormOutputs modulated = adaptive_layer_norm({in.residual, {}, {}, in.scale, in.shift, {}, {}});
  CHECK(at::equal(modulated.residual, in.residual));
  CHECK(relative_error(modulated.normed, at::layer_norm(in.residual, {M}, {}, {}, 1e-6) * (1 + wide(in.scale)) + wide(in.shift)) < 1e-13);
  const AdaptiveLayerNormOutputs ungated = adaptive_layer_norm({in.residual, in.branch, {}, {}, {}, in.weight, in.bias});
  CHECK(relative_error(ungated.normed, at::layer_norm(in.residual + in.branch, {M}, in.weight, in.bias, 1e-6)) < 1e-13);
}

TEST_CASE("adaptive layer norm: gradients of all inputs through both outputs equal central differences", "[unit]") {
  const AdaptiveLayerNormInputs in = all_inputs();
  const double error = gradient_error(
      [](const std::vector<at::Tensor>& x) {
        const AdaptiveLayerNormOutputs out = adaptive_layer_norm({x[0], x[1], x[2], x[3], x[4], x[5], x[6]});
        return at::cat({out.residual, out.normed}, -1);
      },
      {in.residual, in.branch, in.gate, in.scale, in.shift, in.weight, in.bias});
  CHECK(error < 1e-7);
  const double alone = gradient_error(
      [](const std::vector<at::Tensor>& x) {
        return adaptive_layer_norm({x[0], x[1], {}, {}, {}, {}, {}}).normed;
      },
      {in.residual, in.branch});
  CHECK(alone < 1e-7);
}

TEST_CASE("adaptive layer norm: an fp32 stream takes a bf16 branch and gives a bf16 norm", "[unit]") {
  AdaptiveLayerNormInputs in = all_inputs(at::kFloat);
  in.branch = in.branch.to(at::kBFloat16).requires_grad_();
  const AdaptiveLayerNormOutputs out = adaptive_layer_norm(in);
  CHECK(out.residual.scalar_type() == at::kFloat);
  CHECK(out.normed.scalar_type() == at::kBFloat16);
  AdaptiveLayerNormInputs wide = in;
  wide.branch = in.branch.detach().to(at::kFloat);
  CHECK(at::equal(out.residual, adaptive_layer_norm(wide).residual));
  CHECK(at::equal(out.normed, adaptive_layer_norm(wide).normed.to(at::kBFloat16)));
  CHECK(torch::autograd::grad({out.normed.sum() + out.residual.sum()}, {in.branch})[0].scalar_type() == at::kBFloat16);
}

TEST_CASE("adaptive layer norm: bad input is named", "[unit]") {
  const auto fault = [](auto spoil) {
    AdaptiveLayerNormInputs in = all_inputs();
    spoil(in);
    return message_of([&] { adaptive_layer_norm(in); });
  };
  CHECK_THAT(fault([](auto& in) { in.residual = in.residual[0]; }), ContainsSubstring("residual has shape [5, 24], wanted rank 3 [B, N, M]"));
  CHECK_THAT(fault([](auto& in) { in.branch = in.branch.narrow(1, 0, 4); }), ContainsSubstring("branch has shape [2, 4, 24], wanted [2, 5, 24]"));
  CHECK_THAT(fault([](auto& in) { in.gate = in.gate[0]; }), ContainsSubstring("gate has shape [24], wanted [2, 24]"));
  CHECK_THAT(fault([](auto& in) { in.bias = in.scale; }), ContainsSubstring("bias has shape [2, 24], wanted [24]"));
  CHECK_THAT(fault([](auto& in) { in.branch.reset(); }), ContainsSubstring("gate is given without a branch"));
}
