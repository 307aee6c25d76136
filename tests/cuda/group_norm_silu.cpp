// The group norm and bias kernels against ATen in fp64: odd shapes, every type, poisoned outputs, gradients.
#include "ops/group_norm_silu.h"

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <ATen/core/grad_mode.h>
#include <c10/cuda/CUDACachingAllocator.h>

#include <catch2/catch_test_macros.hpp>

#include "ops/bias_residual.h"
#include "tests/cuda/kernel_error.h"

using namespace linden;

namespace {

struct Shape {
  int64_t batch, channels, rows, columns, groups;
};

// Vectors that do and do not divide the groups, groups that straddle vectors, more pixels than registers hold.
const std::vector<Shape> kShapes = {{2, 128, 32, 32, 32}, {1, 384, 32, 32, 32},  {3, 64, 7, 5, 32},  {2, 33, 5, 5, 3},   {5, 32, 1, 1, 8},
                                    {2, 256, 4, 4, 32},   {1, 320, 64, 64, 32},  {300, 32, 8, 8, 8}, {2, 96, 9, 11, 32}, {1, 512, 3, 3, 1},
                                    {2, 6, 130, 3, 2},    {64, 128, 16, 16, 32}, {1, 1024, 2, 2, 2}};

struct Case {
  at::Tensor x, shift, weight, bias, grad;
};

Case make_case(const Shape& s, at::ScalarType type, bool with_shift) {
  const auto options = at::TensorOptions().device(test::kCard).dtype(at::kFloat);
  const auto random = [&](at::IntArrayRef sizes) { return at::randn(sizes, options); };
  Case c;
  c.x = (random({s.batch, s.channels, s.rows, s.columns}) * 2 + 3).to(type).contiguous(at::MemoryFormat::ChannelsLast);
  if (with_shift) c.shift = random({s.batch, 2 * s.channels}).to(type).narrow(1, s.channels, s.channels);  // rows are not neighbours
  c.weight = (1 + 0.3 * random({s.channels})).to(type);
  c.bias = random({s.channels}).to(type);
  c.grad = random({s.batch, s.channels, s.rows, s.columns}).to(type).contiguous(at::MemoryFormat::ChannelsLast);
  return c;
}

double relative_error(const at::Tensor& got, const at::Tensor& wanted) {
  const at::Tensor a = got.to(at::kDouble), b = wanted.to(at::kDouble);
  return ((a - b).norm() / b.norm().clamp_min(1e-30)).item<double>();
}

// What ATen's group norm in the same type is off by, at least one rounding of the result.
double allowed(at::ScalarType type) { return type == at::kFloat ? 2e-6 : type == at::kHalf ? 1e-3 : 6e-3; }

// Frees a block of NaNs, so that the next result of that size starts as NaN.
void poison(const at::Tensor& like) { at::full_like(like, std::numeric_limits<double>::quiet_NaN()); }

}  // namespace

TEST_CASE("group norm with shift and SiLU equals ATen in fp64", "[cuda][group_norm]") {
  if (!test::has_card()) SKIP("no CUDA device");
  const at::NoGradGuard no_grad;
  for (const Shape& s : kShapes)
    for (at::ScalarType type : {at::kFloat, at::kBFloat16, at::kHalf})
      for (bool with_shift : {false, true})
        for (bool silu : {false, true}) {
          const Case c = make_case(s, type, with_shift);
          const GroupNormOptions options{s.groups, 1e-5, silu};
          const auto wide = [](const at::Tensor& t) { return t.defined() ? t.to(at::kDouble).contiguous() : t; };
          const at::Tensor wanted = group_norm_silu_reference(wide(c.x), wide(c.shift), wide(c.weight), wide(c.bias), options);
          poison(c.x);
          const at::Tensor got = group_norm_silu(c.x, c.shift, c.weight, c.bias, options);
          INFO(s.batch << "x" << s.channels << "x" << s.rows << "x" << s.columns << " groups " << s.groups << " " << toString(type) << " shift " << with_shift
                       << " silu " << silu);
          CHECK(got.is_contiguous(at::MemoryFormat::ChannelsLast));
          CHECK(relative_error(got, wanted) <= allowed(type));
          CHECK(at::equal(got, group_norm_silu(c.x, c.shift, c.weight, c.bias, options)));
        }
}

TEST_CASE("group norm keeps its digits when the mean is a thousand deviations", "[cuda][group_norm]") {
  if (!test::has_card()) SKIP("no CUDA device");
  const at::NoGradGuard no_grad;
  Case c = make_case({2, 128, 16, 16, 32}, at::kFloat, false);
  c.x = (c.x + 1000).contiguous(at::MemoryFormat::ChannelsLast);
  const at::Tensor wanted = group_norm_silu_reference(c.x.to(at::kDouble).contiguous(), {}, c.weight.to(at::kDouble), c.bias.to(at::kDouble), {32});
  CHECK(relative_error(group_norm_silu(c.x, {}, c.weight, c.bias, {32}), wanted) <= 1e-4);
}

TEST_CASE("gradients of group norm with shift and SiLU equal ATen's in fp64", "[cuda][group_norm]") {
  if (!test::has_card()) SKIP("no CUDA device");
  for (const Shape& s : kShapes)
    for (at::ScalarType type : {at::kFloat, at::kBFloat16, at::kHalf})
      for (bool with_shift : {false, true})
        for (bool silu : {false, true}) {
          const Case c = make_case(s, type, with_shift);
          const GroupNormOptions options{s.groups, 1e-5, silu};
          const auto leaf = [](const at::Tensor& t, bool wide) {
            if (!t.defined()) return t;
            return (wide ? t.to(at::kDouble).contiguous() : t.clone()).detach().requires_grad_(true);
          };
          std::vector<at::Tensor> ours = {leaf(c.x, false), leaf(c.shift, false), leaf(c.weight, false), leaf(c.bias, false)};
          std::vector<at::Tensor> exact = {leaf(c.x, true), leaf(c.shift, true), leaf(c.weight, true), leaf(c.bias, true)};
          poison(c.x);
          group_norm_silu(ours[0], ours[1], ours[2], ours[3], options).backward(c.grad);
          group_norm_silu_reference(exact[0], exact[1], exact[2], exact[3], options).backward(c.grad.to(at::kDouble).contiguous());
          for (size_t i = 0; i < ours.size(); ++i) {
            if (!ours[i].defined()) continue;
            INFO(s.batch << "x" << s.channels << "x" << s.rows << "x" << s.columns << " groups " << s.groups << " " << toString(type) << " input " << i
                         << " silu " << silu);
            // A shift's gradient is a sum that cancels: without SiLU and with one channel a group it is 0.
            const double scale = i == 1 ? exact[0].grad().norm().item<double>() : exact[i].grad().norm().item<double>();
            const double error = (ours[i].grad().to(at::kDouble) - exact[i].grad()).norm().item<double>();
            if (s.rows * s.columns * (s.channels / s.groups) > 4) CHECK(error <= 3 * allowed(type) * scale);
            CHECK(ours[i].grad().isfinite().all().item<bool>());
          }
        }
}

TEST_CASE("only the gradients that are wanted are made", "[cuda][group_norm]") {
  if (!test::has_card()) SKIP("no CUDA device");
  const Case c = make_case({2, 64, 8, 8, 8}, at::kFloat, true);
  at::Tensor x = c.x.clone().requires_grad_(true), shift = c.shift.clone().requires_grad_(true);
  group_norm_silu(x, c.shift, c.weight, c.bias, {8}).sum().backward();
  CHECK(x.grad().defined());
  group_norm_silu(c.x, shift, c.weight, c.bias, {8}).sum().backward();
  CHECK(shift.grad().defined());
  CHECK_FALSE(c.weight.grad().defined());
}

TEST_CASE("bias and residual are added in one pass", "[cuda][group_norm]") {
  if (!test::has_card()) SKIP("no CUDA device");
  const at::NoGradGuard no_grad;
  for (const Shape& s : kShapes)
    for (at::ScalarType type : {at::kFloat, at::kBFloat16, at::kHalf}) {
      const Case c = make_case(s, type, false);
      const at::Tensor wanted = c.x.to(at::kDouble) + c.bias.to(at::kDouble).view({1, -1, 1, 1}) + c.grad.to(at::kDouble);
      const at::Tensor x = c.x.clone();
      const at::Tensor got = bias_residual(x, c.bias, c.grad);
      CHECK(got.data_ptr() == x.data_ptr());
      CHECK(relative_error(got, wanted) <= allowed(type));
      CHECK(relative_error(bias_residual(c.x.clone(), c.bias, {}), wanted - c.grad.to(at::kDouble)) <= allowed(type));
    }
}

// Few pixels and the reference on the CPU: a memory checker and racecheck end on it. Groups that straddle vectors, a group a channel.
TEST_CASE("group norm kernels alone: small", "[cuda][group_norm][small][race][race_group_norm_silu]") {
  if (!test::has_card()) SKIP("no CUDA device");
  for (const Shape& s : {Shape{2, 33, 5, 5, 3}, Shape{2, 64, 4, 4, 32}, Shape{1, 96, 9, 11, 32}})
    for (at::ScalarType type : {at::kFloat, at::kBFloat16, at::kHalf}) {
      INFO(s.channels << " channels " << toString(type));
      const Case c = make_case(s, type, true);
      const GroupNormOptions options{s.groups, 1e-5, true};
      std::vector<at::Tensor> ours, exact;
      for (const at::Tensor& t : {c.x, c.shift, c.weight, c.bias}) {
        ours.push_back(t.clone().detach().requires_grad_(true));
        exact.push_back(t.cpu().to(at::kDouble).contiguous().detach().requires_grad_(true));
      }
      const at::Tensor got = group_norm_silu(ours[0], ours[1], ours[2], ours[3], options);
      const at::Tensor wanted = group_norm_silu_reference(exact[0], exact[1], exact[2], exact[3], options);
      got.backward(c.grad);
      wanted.backward(c.grad.cpu().to(at::kDouble).contiguous());
      CHECK(relative_error(got.detach().cpu(), wanted.detach()) <= allowed(type));
      CHECK(relative_error(ours[0].grad().cpu(), exact[0].grad()) <= 3 * allowed(type));
      CHECK(relative_error(ours[2].grad().cpu(), exact[2].grad()) <= 3 * allowed(type));
    }
}
