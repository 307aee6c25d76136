// The CUDA kernels of linear attention against the naive formula in fp64, and against that formula in their own dtype.
#include "ops/linear_attention.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <ATen/cuda/CUDAContext.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <catch2/catch_test_macros.hpp>

#include "ops/linear_attention_cuda.h"
#include "tests/ops/attention_kernels.h"

namespace linden {
namespace {

using test::all_maps, test::attention_inputs, test::error_of, test::kResultNames, test::plain_results;

// As attention_inputs(), drawn on the card: it takes the processor long for 640 heads.
LinearAttentionInputs random_inputs(const FeatureMapConfig& map, const test::AttentionShape& s, at::ScalarType dtype) {
  const auto normal = [&](at::IntArrayRef shape) { return at::randn(shape, at::TensorOptions(at::kCUDA)); };
  const auto activation = [&] { return normal({s.B, s.N, s.H, s.D}).to(dtype); };
  LinearAttentionInputs in{activation(), activation(), activation(), {}, {}, {}};
  if (!has_projection(map)) return in;
  const auto* taylor = std::get_if<Taylor2MapConfig>(&map);
  const auto projection = [&] { return (normal({s.H, s.D, taylor ? taylor->projected_dim : s.D}) / std::sqrt(double(s.D))).to(dtype); };
  in.w_q = projection();
  in.w_k = projection();
  return in;
}

LinearAttentionInputs on_gpu(const LinearAttentionInputs& in, at::ScalarType dtype) {
  const auto move = [&](const at::Tensor& x) { return x.defined() ? x.to(at::kCUDA, dtype) : x; };
  return {move(in.q), move(in.k), move(in.v), move(in.w_q), move(in.w_k), in.num_valid.defined() ? in.num_valid.to(at::kCUDA) : in.num_valid};
}

std::vector<at::Tensor> kernel(const FeatureMapConfig& map, const LinearAttentionInputs& in, const at::Tensor& grad_out) {
  return test::results([&](const LinearAttentionInputs& x) { return linear_attention(x, {.feature_map = map}); }, in, grad_out);
}
// Fills the caching allocator's free blocks with NaN, so that what a kernel does not write shows.
void poison_free_memory() {
  std::vector<at::Tensor> blocks;
  for (int64_t size = 1 << 10; size <= 1 << 24; size *= 4)
    for (int copy = 0; copy < 2; ++copy) blocks.push_back(at::full({size / 4}, NAN, at::TensorOptions(at::kCUDA).dtype(at::kFloat)));
}

// One problem: error against fp64 of the kernel, and beside it that of torch's own expression in the same dtype.
void compare(const FeatureMapConfig& map, const test::AttentionShape& s, at::ScalarType dtype, test::WorstErrors& worst, const at::Tensor& num_valid = {}) {
  at::manual_seed(static_cast<uint64_t>(s.N * 1000 + s.D));
  LinearAttentionInputs in = random_inputs(map, s, dtype);
  in.num_valid = num_valid.defined() ? num_valid.to(at::kCUDA) : num_valid;
  const at::Tensor grad_out = at::randn_like(in.q);
  const std::vector<at::Tensor> truth = plain_results(map, on_gpu(in, at::kDouble), grad_out.to(at::kDouble));
  const std::vector<at::Tensor> torch_own = plain_results(map, in, grad_out);
  poison_free_memory();
  const std::vector<at::Tensor> ours = kernel(map, in, grad_out);
  REQUIRE(linear_attention_cuda_refusal(in, map, true) == "");
  for (size_t i = 0; i < ours.size(); ++i) {
    const double error = error_of(ours[i], truth[i]), own = error_of(torch_own[i], truth[i]);
    const std::string where = fmt::format("{} {} {} B={} N={} H={} D={}: error {:.2e}, torch's own {:.2e}", feature_map_name(map), c10::toString(dtype),
                                          kResultNames[i], s.B, s.N, s.H, s.D, error, own);
    INFO(where);
    CHECK(ours[i].isfinite().all().item<bool>());
    // One token: its own gradients of q and k are 0, and only rounding is left in either.
    const double norm = truth[i].norm().item<double>(), scale = truth[0].norm().item<double>();
    if (norm < 1e-9 * scale) {
      const auto size = [](const at::Tensor& x) { return x.to(at::kDouble).norm().item<double>(); };
      CHECK(size(ours[i]) <= std::max(2 * size(torch_own[i]), 1e-2 * size(grad_out)));
      continue;
    }
    CHECK(error <= test::allowed_error(i, dtype, own));
    worst.note(map, dtype, i, error, own, where);
  }
}

}  // namespace

TEST_CASE("linear attention kernels against fp64: maps, head dims, odd token counts", "[cuda][linear_attention][matrix]") {
  if (!at::hasCUDA()) SKIP("no CUDA device");
  test::WorstErrors worst;
  for (const at::ScalarType dtype : {at::kBFloat16, at::kFloat, at::kHalf})
    for (const FeatureMapConfig& map : all_maps())
      for (const int64_t D : {32, 64, 96, 128})
        for (const int64_t N : {1, 7, 63, 64, 127, 128, 129, 1000, 4101})
          for (const int64_t heads : {1, 3}) compare(map, {1, N, heads, D}, dtype, worst);
  worst.print();
}

TEST_CASE("linear attention kernels against fp64: 640 heads", "[cuda][linear_attention][matrix]") {
  if (!at::hasCUDA()) SKIP("no CUDA device");
  test::WorstErrors worst;
  for (const at::ScalarType dtype : {at::kBFloat16, at::kFloat, at::kHalf})
    for (const FeatureMapConfig& map : all_maps())
      for (const int64_t D : {32, 64, 96, 128})
        for (const int64_t N : {1, 7, 129}) compare(map, {20, N, 32, D}, dtype, worst);
  worst.print();
}

// Eight tiles a block, and 24: every stage of shared memory is used again.
TEST_CASE("linear attention kernels against fp64: many tiles a block", "[cuda][linear_attention][matrix]") {
  if (!at::hasCUDA()) SKIP("no CUDA device");
  test::WorstErrors worst;
  for (const FeatureMapConfig& map : all_maps()) {
    for (const int64_t D : {64, 128}) compare(map, {20, 1000, 32, D}, at::kBFloat16, worst);
    compare(map, {1, 32760, 12, 128}, at::kBFloat16, worst);
  }
  worst.print();
}

TEST_CASE("linear attention kernels: small problems for a memory checker", "[cuda][linear_attention][small]") {
  if (!at::hasCUDA()) SKIP("no CUDA device");
  test::WorstErrors worst;
  for (const at::ScalarType dtype : {at::kBFloat16, at::kFloat, at::kHalf})
    for (const FeatureMapConfig& map : all_maps())
      for (const int64_t D : {32, 128}) compare(map, {2, 131, 2, D}, dtype, worst, at::tensor({70, 131}, at::kLong));
}

// For racecheck, which is slow and instruments every kernel it meets: one map, dtype and head dim a case, few tiles of tokens (no stage
// of shared memory is used twice: tests/cuda_emulator sees to that), the reference on the CPU so that no other kernel runs. The bounds are wide; the matrix above has the tight ones.
static void check_alone(const char* map_name, at::ScalarType dtype, int64_t D) {
  if (!at::hasCUDA()) SKIP("no CUDA device");
  const FeatureMapConfig map = feature_map_of(map_name);
  LinearAttentionInputs in = attention_inputs(map, {2, 65, 1, D}, dtype);
  in.num_valid = at::tensor({65, 33}, at::kLong);
  const at::Tensor grad_out = test::normal({2, 65, 1, D}, 99, dtype);
  const std::vector<at::Tensor> truth = plain_results(map, test::to_dtype(in, at::kDouble), grad_out.to(at::kDouble));
  REQUIRE(linear_attention_cuda_refusal(on_gpu(in, dtype), map, true) == "");
  const std::vector<at::Tensor> ours = kernel(map, on_gpu(in, dtype), grad_out.to(at::kCUDA));
  for (size_t i = 0; i < ours.size(); ++i) {
    INFO(kResultNames[i]);
    CHECK(error_of(ours[i].cpu(), truth[i]) <= (dtype == at::kFloat ? 1e-4 : 5e-2));
  }
}

#define LINDEN_RACE_CASE(map, type, dtype, D)                                                                                                        \
  TEST_CASE("linear attention kernels alone: " #map ", " #type ", head dim " #D, "[cuda][linear_attention][race][race_" #map "_" #type "_" #D "]") { \
    check_alone(#map, dtype, D);                                                                                                                     \
  }
// Every map in both engines; every width and padded width, and fp16, once more by Hedgehog.
LINDEN_RACE_CASE(hedgehog, bf16, at::kBFloat16, 64)
LINDEN_RACE_CASE(hedgehog, fp32, at::kFloat, 64)
LINDEN_RACE_CASE(softmax, bf16, at::kBFloat16, 64)
LINDEN_RACE_CASE(softmax, fp32, at::kFloat, 64)
LINDEN_RACE_CASE(elu_plus_one, bf16, at::kBFloat16, 64)
LINDEN_RACE_CASE(elu_plus_one, fp32, at::kFloat, 64)
LINDEN_RACE_CASE(relu, bf16, at::kBFloat16, 64)
LINDEN_RACE_CASE(relu, fp32, at::kFloat, 64)
LINDEN_RACE_CASE(exp, bf16, at::kBFloat16, 64)
LINDEN_RACE_CASE(exp, fp32, at::kFloat, 64)
LINDEN_RACE_CASE(taylor2, bf16, at::kBFloat16, 64)
LINDEN_RACE_CASE(taylor2, fp32, at::kFloat, 64)
LINDEN_RACE_CASE(softmax, bf16, at::kBFloat16, 128)
LINDEN_RACE_CASE(exp, bf16, at::kBFloat16, 128)
LINDEN_RACE_CASE(hedgehog, fp16, at::kHalf, 64)
LINDEN_RACE_CASE(hedgehog, bf16, at::kBFloat16, 32)
LINDEN_RACE_CASE(hedgehog, bf16, at::kBFloat16, 96)
LINDEN_RACE_CASE(hedgehog, bf16, at::kBFloat16, 128)
LINDEN_RACE_CASE(hedgehog, fp32, at::kFloat, 128)
LINDEN_RACE_CASE(hedgehog, fp16, at::kHalf, 128)
#undef LINDEN_RACE_CASE

TEST_CASE("linear attention kernels: padding is neither read nor written but for zeros", "[cuda][linear_attention]") {
  if (!at::hasCUDA()) SKIP("no CUDA device");
  const at::Tensor num_valid = at::tensor({0, 65, 200, 1}, at::kLong);
  for (const at::ScalarType dtype : {at::kBFloat16, at::kFloat, at::kHalf})
    for (const FeatureMapConfig& map : all_maps()) {
      INFO(feature_map_name(map) << " " << c10::toString(dtype));
      const test::AttentionShape s{4, 200, 3, 64};
      LinearAttentionInputs in = on_gpu(attention_inputs(map, s, dtype), dtype);
      in.num_valid = num_valid.to(at::kCUDA);
      at::Tensor grad_out = test::normal({s.B, s.N, s.H, s.D}, 99, dtype).to(at::kCUDA);
      test::WorstErrors worst;
      compare(map, s, dtype, worst, num_valid);
      const std::vector<at::Tensor> clean = kernel(map, in, grad_out);
      const at::Tensor padding = at::arange(s.N, at::TensorOptions(at::kCUDA)).ge(in.num_valid.unsqueeze(1)).unsqueeze(-1).unsqueeze(-1);
      for (at::Tensor* x : {&in.q, &in.k, &in.v, &grad_out}) *x = x->masked_fill(padding, NAN);
      poison_free_memory();
      const std::vector<at::Tensor> poisoned = kernel(map, in, grad_out);
      for (size_t i = 0; i < clean.size(); ++i) {
        INFO(kResultNames[i]);
        CHECK(poisoned[i].equal(clean[i]));
        if (i < 4) CHECK(poisoned[i].masked_select(padding).eq(0).all().item<bool>());
      }
    }
}

TEST_CASE("linear attention kernels: slices of one projection are taken as they lie", "[cuda][linear_attention]") {
  if (!at::hasCUDA()) SKIP("no CUDA device");
  const FeatureMapConfig map = HedgehogMapConfig{};
  LinearAttentionInputs in = on_gpu(attention_inputs(map, {2, 300, 3, 128}, at::kBFloat16), at::kBFloat16);
  const at::Tensor grad_out = test::normal({2, 300, 3, 128}, 99, at::kBFloat16).to(at::kCUDA);
  const std::vector<at::Tensor> expected = kernel(map, in, grad_out);
  const at::Tensor fused = at::cat({in.q, in.k, in.v}, 2);  // [B, N, 3 H, D]
  in.q = fused.narrow(2, 0, 3), in.k = fused.narrow(2, 3, 3), in.v = fused.narrow(2, 6, 3);
  at::Tensor out;
  {
    const at::NoGradGuard no_grad;
    out = linear_attention(in, {.feature_map = map});
  }
  CHECK(out.equal(expected[0]));
  // One element off the 16-byte grid: copied, same values.
  const at::Tensor shifted = at::empty({2 * 300 * 3 * 128 + 1}, in.q.options()).narrow(0, 1, 2 * 300 * 3 * 128).view({2, 300, 3, 128});
  shifted.copy_(in.q);
  in.q = shifted;
  const at::NoGradGuard no_grad;
  CHECK(linear_attention(in, {.feature_map = map}).equal(expected[0]));
}

TEST_CASE("linear attention kernels: two runs are bit-equal", "[cuda][linear_attention]") {
  if (!at::hasCUDA()) SKIP("no CUDA device");
  for (const FeatureMapConfig& map : all_maps()) {
    INFO(feature_map_name(map));
    const LinearAttentionInputs in = on_gpu(attention_inputs(map, {1, 4101, 3, 128}, at::kBFloat16), at::kBFloat16);
    const at::Tensor grad_out = test::normal({1, 4101, 3, 128}, 99, at::kBFloat16).to(at::kCUDA);
    const std::vector<at::Tensor> first = kernel(map, in, grad_out), second = kernel(map, in, grad_out);
    for (size_t i = 0; i < first.size(); ++i) CHECK(first[i].equal(second[i]));
  }
}

TEST_CASE("linear attention kernels: adversarial inputs", "[cuda][linear_attention]") {
  if (!at::hasCUDA()) SKIP("no CUDA device");
  for (const at::ScalarType dtype : {at::kBFloat16, at::kFloat, at::kHalf})
    for (const FeatureMapConfig& map : all_maps()) {
      const test::AttentionShape s{1, 333, 2, 64};
      test::check_adversarial(map, on_gpu(attention_inputs(map, s, dtype), dtype), test::normal({s.B, s.N, s.H, s.D}, 99, dtype).to(at::kCUDA),
                              [&](const LinearAttentionInputs& in, const at::Tensor& grad_out) { return kernel(map, in, grad_out); });
    }
}

TEST_CASE("linear attention kernels: workspace", "[cuda][linear_attention]") {
  if (!at::hasCUDA()) SKIP("no CUDA device");
  constexpr int64_t kMegabyte = 1000 * 1000;
  for (const FeatureMapConfig& map : all_maps()) {
    INFO(feature_map_name(map));
    const auto options = at::TensorOptions(at::kCUDA).dtype(at::kBFloat16);
    LinearAttentionInputs in{
        at::randn({1, 32760, 12, 128}, options), at::randn({1, 32760, 12, 128}, options), at::randn({1, 32760, 12, 128}, options), {}, {}, {}};
    if (has_projection(map)) {
      const int64_t P = std::holds_alternative<HedgehogMapConfig>(map) ? 128 : 16;
      in.w_q = at::randn({12, 128, P}, options) * 0.1;
      in.w_k = at::randn({12, 128, P}, options) * 0.1;
    }
    const at::Tensor grad_out = at::randn_like(in.q);
    namespace allocator = c10::cuda::CUDACachingAllocator;
    const auto bytes = [&](auto statistic) { return allocator::getDeviceStats(0).allocated_bytes[0].*statistic; };
    const auto peak_beyond = [&](auto call, int64_t outputs) {
      const int64_t before = bytes(&c10::CachingAllocator::Stat::current);
      allocator::resetPeakStats(0);
      [[maybe_unused]] const auto kept = call();
      return bytes(&c10::CachingAllocator::Stat::peak) - before - outputs;
    };
    LinearAttentionForward saved;
    const int64_t activation = in.q.numel() * 2;
    const int64_t forward = peak_beyond(
        [&] {
          saved = linear_attention_forward(in, map);
          return 0;
        },
        activation);
    const int64_t backward = peak_beyond([&] { return linear_attention_backward(grad_out, in, map, saved); }, 3 * activation);
    fmt::print("{:14} workspace {:.1f} MB forward, {:.1f} MB backward\n", feature_map_name(map), forward / 1e6, backward / 1e6);
    CHECK(forward <= 20 * kMegabyte);
    CHECK(backward <= 40 * kMegabyte);
  }
}

}  // namespace linden
