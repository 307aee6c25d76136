// Truth: the operator against fp64 over dtype x map x head dim x tokens x heads, beside LibTorch's own expression in the
// same dtype; then adversarial inputs.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <string>

#include "ops/reference/linear_attention.h"
#include "tests/ops/attention_inputs.h"

using namespace linden;
using namespace linden::test;

namespace {

constexpr at::ScalarType kDtypes[] = {at::kFloat, at::kBFloat16, at::kHalf};
constexpr int64_t kHeadDims[] = {32, 64, 96, 128};
constexpr int64_t kTokens[] = {1, 7, 63, 64, 127, 128, 129, 1000};

double allowed_error(at::ScalarType dtype) { return dtype == at::kFloat ? 5e-6 : dtype == at::kHalf ? 1e-3 : 4e-3; }
// Spacing of the format at 1: an error below it is rounding of the output alone.
double spacing(at::ScalarType dtype) { return dtype == at::kFloat ? 0x1p-23 : dtype == at::kHalf ? 0x1p-10 : 0x1p-7; }

struct Errors {
  double ours = 0, torch = 0;
};
Errors errors_of(const LinearAttentionInputs& in, const FeatureMapConfig& map) {
  const at::NoGradGuard no_grad;
  const at::Tensor truth = reference::linear_attention_state(to_dtype(in, at::kDouble), map);
  return {relative_error(linear_attention(in, {map}), truth), relative_error(reference::linear_attention_state(in, map), truth)};
}

void check_cell(const std::string& name, at::ScalarType dtype, const AttentionShape& shape) {
  const FeatureMapConfig map = feature_map_of(name);
  // A few rows are too few to compare two roundings: there, the mean over several draws.
  const int draws = shape.N * shape.B * shape.H < 63 ? 12 : 1;
  Errors errors;
  for (int draw = 1; draw <= draws; ++draw) {
    const Errors of_draw = errors_of(attention_inputs(map, shape, dtype, draw), map);
    errors.ours += of_draw.ours / draws;
    errors.torch += of_draw.torch / draws;
  }
  INFO(name << " " << c10::toString(dtype) << " D " << shape.D << " N " << shape.N << " B " << shape.B << " H " << shape.H << ", LibTorch's error "
            << errors.torch);
  CHECK(errors.ours <= allowed_error(dtype));
  // LibTorch's own exp leaves fp16's range over 1000 tokens.
  CHECK((errors.ours <= std::max(2 * errors.torch, spacing(dtype)) || std::isnan(errors.torch)));
}

// Every cell of the matrix, of which `every`-th ones are checked.
void check_matrix(const std::vector<AttentionShape>& heads, int every) {
  int cell = 0;
  for (const std::string& name : feature_map_names())
    for (const at::ScalarType dtype : kDtypes)
      for (const int64_t D : kHeadDims)
        for (const int64_t N : kTokens)
          for (const AttentionShape& h : heads)
            if (cell++ % every == 0) check_cell(name, dtype, {h.B, N, h.H, D});
}

}  // namespace

TEST_CASE("linear attention: a sample of the truth matrix", "[unit]") { check_matrix({{1, 0, 1, 0}, {1, 0, 3, 0}}, 7); }

TEST_CASE("linear attention: the truth matrix, 1 and 3 heads in full, 40 in part", "[truth]") {
  check_matrix({{1, 0, 1, 0}, {3, 0, 1, 0}}, 1);
  check_matrix({{2, 0, 20, 0}}, 23);
}

TEST_CASE("linear attention: the truth matrix, 40 heads in full and 640 in part", "[.slow]") {
  check_matrix({{2, 0, 20, 0}}, 1);
  check_matrix({{16, 0, 40, 0}}, 37);
}

TEST_CASE("linear attention: gradients in fp32, bf16 and fp16 against fp64", "[truth]") {
  for (const std::string& name : feature_map_names()) {
    for (const at::ScalarType dtype : kDtypes) {
      const FeatureMapConfig map = feature_map_of(name);
      const LinearAttentionInputs in = attention_inputs(map, {2, 300, 2, 64}, dtype);
      const auto gradients = [&](bool exact) {
        std::vector<at::Tensor> leaves = leaves_of(exact ? to_dtype(in, at::kDouble) : in);
        for (at::Tensor& leaf : leaves) leaf = leaf.clone().requires_grad_();
        const LinearAttentionInputs over = with_leaves(in, leaves);
        const at::Tensor out = exact ? reference::linear_attention_state(over, map) : linear_attention(over, {map});
        return torch::autograd::grad({out}, leaves, {normal(out.sizes(), 5, dtype).to(out.scalar_type())});
      };
      const std::vector<at::Tensor> got = gradients(false), wanted = gradients(true);
      for (size_t i = 0; i < got.size(); ++i) {
        INFO(name << " " << c10::toString(dtype) << " leaf " << i);
        CHECK(relative_error(got[i], wanted[i]) <= allowed_error(dtype));
      }
    }
  }
}

TEST_CASE("linear attention: adversarial inputs stay finite and no worse than twice LibTorch's own expression", "[unit][truth]") {
  for (const std::string& name : feature_map_names()) {
    const FeatureMapConfig map = feature_map_of(name);
    for (const at::ScalarType dtype : kDtypes) {
      const auto check_case = [&](const char* what, const std::function<void(LinearAttentionInputs&)>& spoil) {
        LinearAttentionInputs in = attention_inputs(map, {1, 129, 2, 64}, dtype);
        spoil(in);
        const Errors errors = errors_of(in, map);
        INFO(name << " " << c10::toString(dtype) << " " << what << ": ours " << errors.ours << ", LibTorch " << errors.torch);
        CHECK(linear_attention(in, {map}).isfinite().all().item<bool>());
        CHECK((errors.ours <= allowed_error(dtype) || errors.ours <= 2 * errors.torch));  // false where LibTorch's own is NaN
      };
      check_case("all keys equal", [](auto& in) { in.k = in.k.narrow(1, 0, 1).expand_as(in.k); });
      check_case("one huge key", [](auto& in) { in.k.select(1, 77).mul_(100); });
      check_case("queries without positive entries", [](auto& in) { in.q.narrow(1, 3, 40).abs_().neg_(); });
      check_case("keys without positive entries", [](auto& in) { in.k = in.k.abs().neg(); });
      check_case("far apart", [](auto& in) {
        in.q.mul_(30);
        in.k.mul_(30);
      });
    }
    // 6e4 is near fp16's largest number. The truth of exp, e^60000, is beyond fp64 in the state form: the quadratic one knows it.
    LinearAttentionInputs in = attention_inputs(map, {1, 65, 2, 64}, at::kHalf);
    in.q.select(1, 5).copy_(in.q.select(1, 5).sign() * 6e4);
    in.k.select(1, 9).copy_(in.k.select(1, 9).sign() * 6e4);
    in.v.select(1, 11).fill_(6e4);
    const at::Tensor truth = reference::linear_attention_quadratic(to_dtype(in, at::kDouble), map), got = linear_attention(in, {map});
    INFO(name << " 6e4: error " << relative_error(got, truth));
    CHECK(got.isfinite().all().item<bool>());
    CHECK(relative_error(got, truth) <= 1e-3);
  }
}
