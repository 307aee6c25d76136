// The CUDA kernels of linear attention, emulated, against the naive formula in fp64. What only a card shows (its rounding of sums, its
// memory, its speed, races within a warp) is tested by tests/cuda/linear_attention.cpp.
#include <ATen/ATen.h>
#include <catch2/catch_test_macros.hpp>
#include <fmt/format.h>

#include <limits>

#include "ops/linear_attention_cuda.h"
#include "tests/cuda_emulator/emulator/device.h"
#include "tests/ops/attention_kernels.h"

namespace linden {
namespace {

using test::all_maps, test::attention_inputs, test::kResultNames;

std::vector<at::Tensor> kernel(const FeatureMapConfig& map, const LinearAttentionInputs& in, const at::Tensor& grad_out) {
  const LinearAttentionForward forward = linear_attention_forward_cuda(in, map);
  const LinearAttentionGradients g = linear_attention_backward_cuda(grad_out, in, map, forward);
  std::vector<at::Tensor> all = {forward.out, g.q, g.k, g.v};
  if (g.w_q.defined()) all.insert(all.end(), {g.w_q, g.w_k});
  return all;
}

void compare(const FeatureMapConfig& map, const test::AttentionShape& s, at::ScalarType dtype, test::WorstErrors* worst = nullptr) {
  const LinearAttentionInputs in = attention_inputs(map, s, dtype);
  const at::Tensor grad_out = test::normal({s.B, s.N, s.H, s.D}, 99, dtype);
  const std::vector<at::Tensor> truth = test::plain_results(map, test::to_dtype(in, at::kDouble), grad_out.to(at::kDouble));
  const std::vector<at::Tensor> own = test::plain_results(map, in, grad_out), ours = kernel(map, in, grad_out);
  for (size_t i = 0; i < ours.size(); ++i) {
    const double error = test::error_of(ours[i], truth[i]), torch_error = test::error_of(own[i], truth[i]);
    INFO(fmt::format("{} {} {} N={} D={}: error {:.2e}, torch's own {:.2e}", feature_map_name(map), c10::toString(dtype), kResultNames[i], s.N, s.D, error,
                     torch_error));
    CHECK(error <= test::allowed_error(i, dtype, torch_error));
    if (worst) worst->note(map, dtype, i, error, torch_error, fmt::format("{} N={} H={} D={}", kResultNames[i], s.N, s.H, s.D));
  }
}

// Another card for the length of a scope.
struct OnDevice {
  emulator::Device before = emulator::device();
  explicit OnDevice(const emulator::Device& device) { emulator::device() = device; }
  ~OnDevice() { emulator::device() = before; }
};

bool equal(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const at::Tensor& x, const at::Tensor& y) { return x.equal(y); });
}

}  // namespace

TEST_CASE("emulated linear attention kernels against fp64", "[truth]") {
  for (const FeatureMapConfig& map : all_maps()) {
    for (const int64_t D : {32, 64, 96, 128})
      for (const int64_t N : {64, 127, 129}) compare(map, {1, N, 2, D}, at::kBFloat16);
    for (const at::ScalarType dtype : {at::kFloat, at::kHalf})
      for (const auto& [N, D] : {std::pair{33, 32}, {63, 64}, {33, 96}, {7, 128}}) compare(map, {1, N, 2, D}, dtype);
  }
}

// The card's matrix without its largest lengths, some minutes: test_cuda_emulator "[matrix]".
TEST_CASE("emulated linear attention kernels against fp64: maps, head dims, odd token counts", "[.][matrix]") {
  test::WorstErrors worst;
  for (const at::ScalarType dtype : {at::kBFloat16, at::kFloat, at::kHalf})
    for (const FeatureMapConfig& map : all_maps())
      for (const int64_t D : {32, 64, 96, 128})
        for (const int64_t N : {7, 63, 64, 127, 128, 129, 500})
          for (const int64_t heads : {1, 3})
            if (dtype != at::kBFloat16 || N >= 64) compare(map, {1, N, heads, D}, dtype, &worst);  // below, bf16 is computed in fp32
  worst.print();
}

TEST_CASE("emulated linear attention kernels: adversarial inputs", "[truth]") {
  const test::AttentionShape s{1, 141, 1, 64};
  for (const at::ScalarType dtype : {at::kBFloat16, at::kFloat, at::kHalf})
    for (const FeatureMapConfig& map : all_maps())
      test::check_adversarial(map, attention_inputs(map, s, dtype), test::normal({s.B, s.N, s.H, s.D}, 99, dtype),
                              [&](const LinearAttentionInputs& in, const at::Tensor& grad_out) { return kernel(map, in, grad_out); });
}

TEST_CASE("emulated linear attention kernels: padding is neither read nor written but for zeros", "[truth]") {
  const at::Tensor num_valid = at::tensor({0, 65, 140, 1}, at::kLong);
  for (const at::ScalarType dtype : {at::kBFloat16, at::kFloat})
    for (const FeatureMapConfig& map : all_maps()) {
      INFO(feature_map_name(map) << " " << c10::toString(dtype));
      const test::AttentionShape s{4, 140, 1, 32};
      LinearAttentionInputs in = attention_inputs(map, s, dtype);
      in.num_valid = num_valid;
      at::Tensor grad_out = test::normal({s.B, s.N, s.H, s.D}, 99, dtype);
      const std::vector<at::Tensor> clean = kernel(map, in, grad_out);
      const at::Tensor padding = at::arange(s.N).ge(num_valid.unsqueeze(1)).unsqueeze(-1).unsqueeze(-1);
      for (at::Tensor* x : {&in.q, &in.k, &in.v, &grad_out}) *x = x->masked_fill(padding, NAN);
      const std::vector<at::Tensor> poisoned = kernel(map, in, grad_out);
      for (size_t i = 0; i < clean.size(); ++i) {
        INFO(kResultNames[i]);
        CHECK(poisoned[i].equal(clean[i]));
        if (i < 4) CHECK(poisoned[i].masked_select(padding).eq(0).all().item<bool>());
      }
    }
}

TEST_CASE("emulated linear attention kernels: counts of valid tokens out of range are cut to it", "[truth]") {
  for (const FeatureMapConfig& map : all_maps()) {
    INFO(feature_map_name(map));
    const test::AttentionShape s{4, 70, 1, 32};
    LinearAttentionInputs in = attention_inputs(map, s, at::kBFloat16);
    const at::Tensor grad_out = test::normal({s.B, s.N, s.H, s.D}, 99, at::kBFloat16);
    in.num_valid = at::tensor({int64_t{0}, int64_t{0}, int64_t{70}, int64_t{70}});
    const std::vector<at::Tensor> within = kernel(map, in, grad_out);
    in.num_valid = at::tensor({int64_t{-1}, std::numeric_limits<int64_t>::min() + 7, int64_t{71}, int64_t{1} << 40});
    CHECK(equal(kernel(map, in, grad_out), within));
  }
}

// S stays below fp32's end, the sum of its rows does not.
TEST_CASE("emulated linear attention kernels: values near fp32's end", "[truth]") {
  for (const FeatureMapConfig& map : {feature_map_of("elu_plus_one"), feature_map_of("relu")}) {
    INFO(feature_map_name(map));
    LinearAttentionInputs in = attention_inputs(map, {1, 64, 1, 128}, at::kBFloat16);
    in.v = at::full_like(in.v, 1.5e36);
    CHECK(test::error_of(linear_attention_forward_cuda(in, map).out, in.v.to(at::kDouble)) < 4e-3);
  }
}

// A kernel that reads what another thread of its block has not written yet gets other bits in the other order.
TEST_CASE("emulated linear attention kernels: the order of threads does not show", "[truth]") {
  for (const at::ScalarType dtype : {at::kBFloat16, at::kFloat})
    for (const FeatureMapConfig& map : all_maps())
      for (const int64_t D : {64, 128}) {
        if (D == 128 && (dtype == at::kFloat || !std::holds_alternative<HedgehogMapConfig>(map))) continue;  // the widest is enough
        INFO(feature_map_name(map) << " " << c10::toString(dtype) << " " << D);
        const test::AttentionShape s{1, dtype == at::kFloat ? 170 : 650, 1, D};  // six tiles: every stage of memory is used again
        const LinearAttentionInputs in = attention_inputs(map, s, dtype);
        const at::Tensor grad_out = test::normal({s.B, s.N, s.H, s.D}, 99, dtype);
        const emulator::Device one_block{.multiprocessors = 1};  // all tiles in one or two blocks
        const OnDevice device(one_block);
        const std::vector<at::Tensor> rising = kernel(map, in, grad_out);
        emulator::device().falling = true;
        CHECK(equal(kernel(map, in, grad_out), rising));
      }
}

// 163 kB: an A100, whose blocks hold fewer tiles at a time and keep features in registers. 99 kB: an RTX 4090. 64 kB: one tile at a time.
TEST_CASE("emulated linear attention kernels: a card with less shared memory", "[truth]") {
  for (const size_t kilobytes : {163, 99, 64}) {
    const emulator::Device smaller{.multiprocessors = 1, .compute_capability = 8, .shared_memory = kilobytes * 1024};
    const OnDevice device(smaller);
    for (const at::ScalarType dtype : {at::kBFloat16, at::kFloat})
      for (const FeatureMapConfig& map : all_maps())
        for (const int64_t D : {64, 128}) {
          if ((kilobytes < 100 && D == 128) || (kilobytes < 99 && has_projection(map))) continue;  // some do not fit
          compare(map, {1, dtype == at::kFloat ? 100 : 400, 1, D}, dtype);
        }
  }
}

}  // namespace linden
