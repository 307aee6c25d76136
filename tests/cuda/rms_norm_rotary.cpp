// The RMSNorm and rotary kernels against the fp64 expression: every type, odd and Wan's shapes, slices, poisoned results.
#include "ops/rms_norm_rotary.h"

#include <ATen/ATen.h>
#include <ATen/Context.h>

#include <catch2/catch_test_macros.hpp>

#include "tests/cuda/kernel_error.h"

using namespace linden;
using namespace linden::test;

namespace {

struct Case {
  int64_t B, N, M;
  at::ScalarType type, weight_type;
  bool rotary;
  int64_t head_dim() const { return M >= 128 ? 128 : 32; }
  int64_t num_heads() const { return M / head_dim(); }
  RotaryTable table(at::ScalarType dtype) const { return rotary ? make_rotary_table({1, 1, N}, head_dim(), dtype, kCard) : RotaryTable{}; }
};

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const auto& [B, N] : {std::pair<int64_t, int64_t>{1, 1}, {2, 7}, {3, 129}})
    for (const int64_t M : {64, 128, 1536, 5120, 8192})
      for (const at::ScalarType type : {at::kFloat, at::kBFloat16, at::kHalf})
        for (const at::ScalarType weight_type : {at::kFloat, type})
          for (const bool rotary : {true, false}) all.push_back({B, N, M, type, weight_type, rotary});
  return all;
}

std::string name_of(const Case& c) {
  return fmt::format("[{}, {}, {}] {} weight {} rotary {}", c.B, c.N, c.M, c10::toString(c.type), c10::toString(c.weight_type), c.rotary);
}

struct Result {
  at::Tensor out, grad_x, grad_weight;
};

template <class F>
Result run(const F& f, const at::Tensor& x, const at::Tensor& weight, const at::Tensor& cotangent) {
  const at::Tensor out = f(x, weight);
  const std::vector<at::Tensor> grads = torch::autograd::grad({out}, {x, weight}, {cotangent.to(out.scalar_type())});
  return {out.detach(), grads[0], grads[1]};
}

// By LibTorch's operators, each in x's dtype.
at::Tensor unfused(const at::Tensor& x, const at::Tensor& weight, int64_t num_heads, const RotaryTable& table) {
  const at::Tensor normed = (x * ((x * x).mean(-1, true) + 1e-6).rsqrt() * weight.to(x.scalar_type())).unflatten(-1, {num_heads, -1});
  if (!table.cos.defined()) return normed;
  const at::Tensor pairs = normed.unflatten(-1, {-1, 2}), even = pairs.select(-1, 0), odd = pairs.select(-1, 1);
  const at::Tensor c = table.cos.to(x.scalar_type()).unsqueeze(1), s = table.sin.to(x.scalar_type()).unsqueeze(1);
  return at::stack({even * c - odd * s, even * s + odd * c}, -1).flatten(-2);
}

}  // namespace

TEST_CASE("RMSNorm and rotary kernels: values and gradients stay within twice the unfused error", "[cuda][rms_norm_rotary]") {
  if (!has_card()) SKIP("no CUDA device");
  uint64_t seed = 1;
  for (const Case& c : cases()) {
    INFO(name_of(c));
    const at::Tensor x = (normal({c.B, c.N, c.M}, ++seed, at::kFloat) * 2 + 0.5).to(kCard, c.type);
    const at::Tensor weight = (1 + 0.3 * normal({c.M}, ++seed, at::kFloat)).to(kCard, c.weight_type);
    const at::Tensor cotangent = normal({c.B, c.N, c.num_heads(), c.head_dim()}, ++seed, at::kFloat).to(kCard, c.type);
    const RotaryTable table = c.table(at::kFloat), wide_table = c.rotary ? RotaryTable{table.cos.to(at::kDouble), table.sin.to(at::kDouble)} : table;
    const auto kernel = [&](const at::Tensor& a, const at::Tensor& w) { return rms_norm_rotary(a, w, c.num_heads(), table); };
    const Result truth = run([&](const at::Tensor& a, const at::Tensor& w) { return rms_norm_rotary(a, w, c.num_heads(), wide_table); }, leaf(x, at::kDouble),
                             leaf(weight, at::kDouble), cotangent);
    const Result plain = run([&](const at::Tensor& a, const at::Tensor& w) { return unfused(a, w, c.num_heads(), table); }, leaf(x, c.type),
                             leaf(weight, c.weight_type), cotangent);
    poison({c.B, c.N, c.M}, c.type);
    poison({c.B * c.N, c.M}, at::kFloat);
    const Result got = run(kernel, leaf(x, c.type), leaf(weight, c.weight_type), cotangent);
    CHECK(got.out.is_contiguous());
    CHECK(got.out.scalar_type() == c.type);
    CHECK(got.grad_weight.scalar_type() == c.weight_type);
    CHECK(relative_error(got.out, truth.out) <= allowed_error(plain.out, truth.out));
    CHECK(relative_error(got.grad_x, truth.grad_x) <= allowed_error(plain.grad_x, truth.grad_x));
    CHECK(relative_error(got.grad_weight, truth.grad_weight) <= allowed_error(plain.grad_weight, truth.grad_weight));
    const Result again = run(kernel, leaf(x, c.type), leaf(weight, c.weight_type), cotangent);
    CHECK(same_bits(got.out, again.out));
    CHECK(same_bits(got.grad_x, again.grad_x));
    CHECK(same_bits(got.grad_weight, again.grad_weight));
  }
}

TEST_CASE("RMSNorm and rotary kernels: slices of a fused projection and transposed gradients give the bits of copies", "[cuda][rms_norm_rotary]") {
  if (!has_card()) SKIP("no CUDA device");
  constexpr int64_t B = 2, N = 37, H = 4, D = 64, M = H * D;
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16, at::kHalf}) {
    const at::Tensor fused = normal({B, N, 3 * M}, 1, at::kFloat).to(kCard, type), weight = normal({M}, 2, at::kFloat).to(kCard);
    const at::Tensor heads_first = normal({B, H, N, D}, 3, at::kFloat).to(kCard, type), cotangent = heads_first.transpose(1, 2);
    const RotaryTable table = make_rotary_table({1, 1, N}, D, at::kFloat, kCard);
    const auto kernel = [&](const at::Tensor& a, const at::Tensor& w) { return rms_norm_rotary(a, w, H, table); };
    for (int64_t part = 0; part < 3; ++part) {
      const at::Tensor slice = fused.narrow(2, part * M, M).requires_grad_(), copy = leaf(slice, type);
      REQUIRE_FALSE(slice.is_contiguous());
      const Result strided = run(kernel, slice, leaf(weight, at::kFloat), cotangent),
                   plain = run(kernel, copy, leaf(weight, at::kFloat), cotangent.contiguous());
      CHECK(same_bits(strided.out, plain.out));
      CHECK(same_bits(strided.grad_x, plain.grad_x));
      CHECK(same_bits(strided.grad_weight, plain.grad_weight));
    }
    // Slices that do not begin on 16 bytes, and single numbers spread out: the expression, the same to rounding.
    const at::Tensor odd = fused.narrow(2, 1, M), plain = rms_norm_rotary(odd.contiguous(), weight, H, table);
    CHECK(relative_error(rms_norm_rotary(odd, weight, H, table), plain) <= (type == at::kFloat ? 1e-6 : 4e-3));
    CHECK(rms_norm_rotary(fused.narrow(2, 0, M), weight, H, table).sum().isfinite().item<bool>());
  }
}

TEST_CASE("RMSNorm and rotary kernels: a gradient for x alone, from an expanded cotangent, large and tiny rows", "[cuda][rms_norm_rotary]") {
  if (!has_card()) SKIP("no CUDA device");
  const at::Tensor weight = normal({256}, 1, at::kFloat).to(kCard);
  at::Tensor x = normal({2, 9, 256}, 2, at::kFloat).to(kCard);
  x.select(1, 0).mul_(1e15);
  x.select(1, 1).zero_();
  const at::Tensor a = leaf(x, at::kFloat), b = leaf(x, at::kDouble);
  rms_norm_rotary(a, weight, 2, {}).sum().backward();
  rms_norm_rotary(b, weight.to(at::kDouble), 2, {}).sum().backward();
  CHECK(relative_error(a.grad(), b.grad()) <= 1e-6);
  CHECK(relative_error(a.grad().narrow(1, 2, 7), b.grad().narrow(1, 2, 7)) <= 1e-6);
  CHECK_FALSE(weight.grad().defined());
}

// As the first case, with one block of rows or two and the reference on the CPU: a memory checker and racecheck end on it.
TEST_CASE("RMSNorm and rotary kernels alone: small", "[cuda][rms_norm_rotary][small][race][race_rms_norm_rotary]") {
  if (!has_card()) SKIP("no CUDA device");
  constexpr int64_t B = 2, N = 9, H = 2;
  for (const int64_t D : {32, 128})
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16, at::kHalf}) {
      INFO(c10::toString(type) << " head dim " << D);
      const at::Tensor x = normal({B, N, H * D}, 1, type), weight = 1 + 0.3 * normal({H * D}, 2, at::kFloat), cotangent = normal({B, N, H, D}, 3, type);
      const auto op = [&](at::ScalarType dtype, at::Device device) {
        const RotaryTable cpu = make_rotary_table({1, 1, N}, D, dtype, at::kCPU), table{cpu.cos.to(device), cpu.sin.to(device)};
        return [=](const at::Tensor& a, const at::Tensor& w) { return rms_norm_rotary(a, w, H, table); };
      };
      const Result truth = run(op(at::kDouble, at::kCPU), leaf(x, at::kDouble), leaf(weight, at::kDouble), cotangent);
      const Result got = run(op(at::kFloat, kCard), leaf(x.to(kCard), type), leaf(weight.to(kCard), at::kFloat), cotangent.to(kCard));
      const double allowed = type == at::kFloat ? 1e-5 : 1e-2;
      CHECK(relative_error(got.out.cpu(), truth.out) <= allowed);
      CHECK(relative_error(got.grad_x.cpu(), truth.grad_x) <= allowed);
      CHECK(relative_error(got.grad_weight.cpu(), truth.grad_weight) <= allowed);
    }
}
