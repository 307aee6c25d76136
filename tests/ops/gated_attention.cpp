// The gate's mix: values, its own gradient, and which branch runs.
#include "ops/gated_attention.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <limits>

#include "tests/ops/attention_inputs.h"
#include "tests/ops/cpu_autocast.h"
#include "tests/support/support.h"

using namespace linden;
using namespace linden::test;
using Catch::Matchers::ContainsSubstring;

namespace {

const LinearAttentionConfig kHedgehog{HedgehogMapConfig{}};

LinearAttentionInputs inputs(at::ScalarType dtype) { return attention_inputs(kHedgehog.feature_map, {2, 19, 2, 32}, dtype); }
at::Tensor gate(double value) { return at::scalar_tensor(value, at::kFloat); }

}  // namespace

TEST_CASE("gated attention: r softmax + (1 - r) linear, and its gradients equal central differences", "[unit]") {
  const LinearAttentionInputs in = inputs(at::kDouble);
  const at::Tensor soft = softmax_attention(in.q, in.k, in.v, {}), linear = linear_attention(in, kHedgehog);
  const at::Tensor r = at::scalar_tensor(0.3, at::kDouble);
  CHECK(relative_error(gated_attention(in, kHedgehog, r), 0.3 * soft + 0.7 * linear) < 1e-14);
  std::vector<at::Tensor> leaves = leaves_of(in);
  leaves.push_back(r);
  const double error =
      gradient_error([&](const std::vector<at::Tensor>& moved) { return gated_attention(with_leaves(in, moved), kHedgehog, moved.back()); }, leaves, 6);
  CHECK(error < 1e-7);
}

TEST_CASE("gated attention: softmax attention is the formula, padding left out", "[unit]") {
  const LinearAttentionInputs in = inputs(at::kDouble);
  const at::Tensor counts = at::tensor({int64_t{19}, int64_t{8}});
  const at::Tensor scores = at::einsum("bnhd,bmhd->bhnm", {in.q, in.k}) / std::sqrt(32.0);
  at::Tensor wanted = at::einsum("bhnm,bmhd->bnhd", {scores.softmax(-1), in.v});
  CHECK(relative_error(softmax_attention(in.q, in.k, in.v, {}), wanted) < 1e-13);
  wanted[1].narrow(0, 0, 8).copy_(at::einsum("hnm,mhd->nhd", {scores[1].narrow(1, 0, 8).narrow(2, 0, 8).softmax(-1), in.v[1].narrow(0, 0, 8)}));
  wanted[1].narrow(0, 8, 11).zero_();
  CHECK(relative_error(softmax_attention(in.q, in.k, in.v, counts), wanted) < 1e-13);
}

TEST_CASE("gated attention: at r = 1 the result has the bits of the softmax branch, frozen or trained", "[unit]") {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kHalf}) {
    const LinearAttentionInputs in = inputs(dtype);
    const at::Tensor soft = softmax_attention(in.q, in.k, in.v, {});
    const auto bits = [](const at::Tensor& x) { return x.detach().contiguous().view(x.element_size() == 4 ? at::kInt : at::kShort); };
    CHECK(at::equal(bits(gated_attention(in, kHedgehog, gate(1))), bits(soft)));
    CHECK(at::equal(bits(gated_attention(in, kHedgehog, gate(1).requires_grad_())), bits(soft)));
    CHECK(at::equal(bits(gated_attention(in, kHedgehog, gate(0).requires_grad_())), bits(linear_attention(in, kHedgehog))));
    // Whatever the other branch holds, and with its own negative zeros.
    const at::Tensor other = at::full_like(soft, std::numeric_limits<double>::quiet_NaN()), zeros = at::full_like(soft, -0.0);
    CHECK(at::equal(bits(mix_attention(zeros, other, gate(1))), bits(zeros)));
  }
}

TEST_CASE("gated attention: a trained r at 0 or 1 gets its gradient; a frozen one runs one branch", "[unit]") {
  const LinearAttentionInputs in = inputs(at::kFloat);
  in.w_q.requires_grad_();
  const at::Tensor soft = softmax_attention(in.q, in.k, in.v, {}), linear = linear_attention(in, kHedgehog).detach(),
                   cotangent = normal(soft.sizes(), 3, at::kFloat);
  for (const double value : {0.0, 0.4, 1.0}) {
    const at::Tensor r = gate(value).requires_grad_();
    CHECK(gate_branches(r) == GateBranches::kBoth);
    const at::Tensor grad_r = torch::autograd::grad({gated_attention(in, kHedgehog, r)}, {r}, {cotangent})[0];
    CHECK(grad_r.item<double>() != 0);
    CHECK(grad_r.item<double>() == Catch::Approx((cotangent * (soft - linear)).sum().item<double>()).epsilon(1e-4));
    const at::NoGradGuard no_grad;
    CHECK((gate_branches(r) == GateBranches::kBoth) == (value == 0.4));
  }
  CHECK(gate_branches(gate(1)) == GateBranches::kSoftmax);
  CHECK(gate_branches(gate(0)) == GateBranches::kLinear);
  CHECK(gate_branches(gate(std::nextafter(1.0f, 0.0f))) == GateBranches::kBoth);
  CHECK_FALSE(gated_attention(in, kHedgehog, gate(1)).requires_grad());  // W took no part
  CHECK(gated_attention(in, kHedgehog, gate(0)).requires_grad());
}

TEST_CASE("gated attention: bad gates and branches are named", "[unit]") {
  const LinearAttentionInputs in = inputs(at::kFloat);
  CHECK_THAT(message_of([&] { gated_attention(in, kHedgehog, at::ones({2})); }), ContainsSubstring("r has shape [2], wanted one element"));
  CHECK_THAT(message_of([&] { gated_attention(in, kHedgehog, at::ones({}, at::kLong)); }), ContainsSubstring("r is Long, wanted a floating dtype"));
  CHECK_THAT(message_of([&] { mix_attention(in.q, in.q.to(at::kHalf), gate(0.5)); }),
             ContainsSubstring("linear is Half [2, 19, 2, 32] on cpu, wanted soft's Float"));
}

TEST_CASE("gated attention: CPU autocast changes no bit of the output or of the gradients", "[unit]") {
  for (const at::ScalarType dtype : {at::kBFloat16, at::kFloat}) {
    LinearAttentionInputs in = inputs(dtype);
    in.w_q = in.w_q.to(at::kFloat), in.w_k = in.w_k.to(at::kFloat);
    const at::Tensor cotangent = normal(in.q.sizes(), 3, dtype);
    const auto results = [&](const at::Tensor& r) {
      std::vector<at::Tensor> leaves = leaves_of(in);
      leaves.push_back(r);
      for (at::Tensor& leaf : leaves) leaf = leaf.detach().clone().requires_grad_();
      const at::Tensor out = gated_attention(with_leaves(in, leaves), kHedgehog, leaves.back());
      std::vector<at::Tensor> all = torch::autograd::grad({out}, leaves, {cotangent});
      all.push_back(out);
      return all;
    };
    const at::Tensor soft = softmax_attention(in.q, in.k, in.v, {}), linear = linear_attention(in, kHedgehog);
    const std::vector<at::Tensor> wanted = results(gate(0.3));
    const at::Tensor wanted_mix = mix_attention(soft, linear, gate(0.3)), frozen_soft = gated_attention(in, kHedgehog, gate(1));
    const CpuAutocast autocast;
    const std::vector<at::Tensor> got = results(gate(0.3));
    INFO(c10::toString(dtype));
    for (size_t i = 0; i < got.size(); ++i) {
      INFO("result " << i);
      CHECK(got[i].scalar_type() == wanted[i].scalar_type());
      CHECK(at::equal(got[i], wanted[i]));
    }
    CHECK(at::equal(mix_attention(soft, linear, gate(0.3)), wanted_mix));
    CHECK(at::equal(gated_attention(in, kHedgehog, gate(1)), frozen_soft));
  }
}
