// The adaptive layer norm kernels against the fp64 expression: every pair of types, optional members, poisoned results.
#include "ops/adaptive_layer_norm.h"

#include <ATen/ATen.h>
#include <ATen/Context.h>

#include <catch2/catch_test_macros.hpp>

#include "tests/cuda/kernel_error.h"

using namespace linden;
using namespace linden::test;

namespace {

constexpr double kEps = 1e-6;

// Members in the order of AdaptiveLayerNormInputs; undefined where absent.
using Members = std::array<at::Tensor, 7>;
AdaptiveLayerNormInputs inputs_of(const Members& m) { return {m[0], m[1], m[2], m[3], m[4], m[5], m[6]}; }

struct Types {
  at::ScalarType residual, branch, small;  // small: of gate, scale, shift, weight and bias
};
const std::vector<Types> kTypes = {{at::kFloat, at::kFloat, at::kFloat},    {at::kBFloat16, at::kBFloat16, at::kBFloat16}, {at::kHalf, at::kHalf, at::kHalf},
                                   {at::kFloat, at::kBFloat16, at::kFloat}, {at::kBFloat16, at::kBFloat16, at::kFloat},    {at::kFloat, at::kHalf, at::kHalf}};
// Which members are present: the last residual of a block, plain modulation, cross-attention's affine norm, all.
const std::vector<std::array<bool, 7>> kPresent = {{true, true, true, true, true, true, true},
                                                   {true, false, false, true, true, false, false},
                                                   {true, true, false, false, false, true, true},
                                                   {true, true, true, true, true, false, false},
                                                   {true, true, false, true, false, false, false}};

Members make_members(int64_t B, int64_t N, int64_t M, const Types& types, const std::array<bool, 7>& present, uint64_t seed) {
  Members m;
  for (size_t i = 0; i < 7; ++i) {
    if (!present[i]) continue;
    const at::Tensor x = i < 2 ? normal({B, N, M}, seed + i, at::kFloat) : i < 5 ? normal({B, M}, seed + i, at::kFloat) : normal({M}, seed + i, at::kFloat);
    m[i] = (i == 0 ? x * 2 + 1 : x).to(kCard, i == 0 ? types.residual : i == 1 ? types.branch : types.small);
  }
  return m;
}

struct Result {
  AdaptiveLayerNormOutputs out;
  Members grads;
};

template <class F>
Result run(const F& f, const Members& members, const std::array<at::Tensor, 2>& cotangents) {
  const AdaptiveLayerNormOutputs out = f(inputs_of(members));
  std::vector<at::Tensor> leaves;
  for (const at::Tensor& member : members)
    if (member.defined()) leaves.push_back(member);
  const std::vector<at::Tensor> grads =
      torch::autograd::grad({out.residual, out.normed}, leaves, {cotangents[0].to(out.residual.scalar_type()), cotangents[1].to(out.normed.scalar_type())});
  Result result{{out.residual.detach(), out.normed.detach()}, {}};
  for (size_t i = 0, at = 0; i < 7; ++i)
    if (members[i].defined()) result.grads[i] = grads[at++];
  return result;
}

Members leaves_of(const Members& members, std::optional<at::ScalarType> type) {
  Members result;
  for (size_t i = 0; i < 7; ++i)
    if (members[i].defined()) result[i] = leaf(members[i], type.value_or(members[i].scalar_type()));
  return result;
}

// By LibTorch's operators, each in its inputs' dtype.
AdaptiveLayerNormOutputs unfused(const AdaptiveLayerNormInputs& in) {
  const at::ScalarType type = (in.branch.defined() ? in.branch : in.residual).scalar_type(), stream = in.residual.scalar_type();
  const auto per_sample = [](const at::Tensor& x, at::ScalarType as) { return x.to(as).unsqueeze(1); };
  at::Tensor x = in.residual;
  if (in.branch.defined()) x = x + (in.gate.defined() ? in.branch.to(stream) * per_sample(in.gate, stream) : in.branch.to(stream));
  if (!in.branch.defined()) x = x.clone();
  const auto in_stream = [&](const at::Tensor& w) { return w.defined() ? w.to(stream) : w; };
  at::Tensor y = at::layer_norm(x, {x.size(2)}, in_stream(in.weight), in_stream(in.bias), kEps).to(type);
  if (in.scale.defined()) y = y * (1 + per_sample(in.scale, type));
  if (in.shift.defined()) y = y + per_sample(in.shift, type);
  return {x, y};
}

}  // namespace

TEST_CASE("adaptive layer norm kernels: values and every gradient stay within twice the unfused error", "[cuda][adaptive_layer_norm]") {
  if (!has_card()) SKIP("no CUDA device");
  uint64_t seed = 1;
  for (const auto& [B, N] : {std::pair<int64_t, int64_t>{1, 1}, {2, 7}, {3, 129}})
    for (const int64_t M : {64, 128, 1536, 5120})
      for (const Types& types : kTypes)
        for (const auto& present : kPresent) {
          const Members members = make_members(B, N, M, types, present, seed += 10);
          INFO(fmt::format("[{}, {}, {}] residual {} branch {} small {} gate {} scale {} weight {}", B, N, M, c10::toString(types.residual),
                           c10::toString(types.branch), c10::toString(types.small), present[2], present[3], present[5]));
          const std::array<at::Tensor, 2> cotangents = {normal({B, N, M}, seed + 7, at::kFloat).to(kCard, types.residual),
                                                        normal({B, N, M}, seed + 8, at::kFloat).to(kCard, present[1] ? types.branch : types.residual)};
          const auto op = [](const AdaptiveLayerNormInputs& in) { return adaptive_layer_norm(in, kEps); };
          const Result truth = run(op, leaves_of(members, at::kDouble), cotangents), plain = run(unfused, leaves_of(members, {}), cotangents);
          poison({B, N, M}, types.residual);
          poison({B, N, M}, types.branch);
          poison({B, N, M}, at::kFloat);
          const Result got = run(op, leaves_of(members, {}), cotangents), again = run(op, leaves_of(members, {}), cotangents);
          CHECK(got.out.residual.scalar_type() == types.residual);
          CHECK(got.out.normed.scalar_type() == (present[1] ? types.branch : types.residual));
          CHECK(relative_error(got.out.residual, truth.out.residual) <= allowed_error(plain.out.residual, truth.out.residual));
          CHECK(relative_error(got.out.normed, truth.out.normed) <= allowed_error(plain.out.normed, truth.out.normed));
          CHECK(same_bits(got.out.residual, again.out.residual));
          CHECK(same_bits(got.out.normed, again.out.normed));
          for (size_t i = 0; i < 7; ++i) {
            if (!present[i]) continue;
            INFO("gradient of member " << i);
            CHECK(got.grads[i].scalar_type() == members[i].scalar_type());
            CHECK(relative_error(got.grads[i], truth.grads[i]) <= allowed_error(plain.grads[i], truth.grads[i]));
            CHECK(same_bits(got.grads[i], again.grads[i]));
          }
        }
}

TEST_CASE("adaptive layer norm kernels: chunks of one modulation tensor are read as they lie", "[cuda][adaptive_layer_norm]") {
  if (!has_card()) SKIP("no CUDA device");
  constexpr int64_t B = 3, N = 11, M = 128;
  const at::Tensor modulation = normal({B, 6, M}, 1, at::kFloat).to(kCard), residual = normal({B, N, M}, 2, at::kFloat).to(kCard);
  const at::Tensor branch = normal({B, N, M}, 3, at::kBFloat16).to(kCard);
  const auto chunk = [&](int64_t i) { return modulation.select(1, i); };
  const AdaptiveLayerNormOutputs got = adaptive_layer_norm({residual, branch, chunk(2), chunk(4), chunk(3), {}, {}});
  const AdaptiveLayerNormOutputs copied = adaptive_layer_norm({residual, branch, chunk(2).contiguous(), chunk(4).contiguous(), chunk(3).contiguous(), {}, {}});
  CHECK(same_bits(got.residual, copied.residual));
  CHECK(same_bits(got.normed, copied.normed));
}

TEST_CASE("adaptive layer norm kernels: one output alone, a large mean, widths and gaps that only the expression takes", "[cuda][adaptive_layer_norm]") {
  if (!has_card()) SKIP("no CUDA device");
  // The larger of the errors of the normed output and of the gradient through one of the outputs.
  const auto error_of = [](const at::Tensor& base, bool through_normed) {
    const at::Tensor cotangent = normal(base.sizes(), 5, at::kFloat).to(kCard);
    std::vector<at::Tensor> normed, grads;
    for (const at::ScalarType type : {at::kFloat, at::kDouble}) {
      const at::Tensor x = leaf(base, type);
      const AdaptiveLayerNormOutputs out = adaptive_layer_norm({x, x * 0.5, {}, {}, {}, {}, {}});
      normed.push_back(out.normed);
      grads.push_back(torch::autograd::grad({through_normed ? out.normed : out.residual}, {x}, {cotangent.to(type)})[0]);
    }
    return std::max(relative_error(normed[0], normed[1]), relative_error(grads[0], grads[1]));
  };
  const at::Tensor base = normal({2, 5, 256}, 1, at::kFloat).to(kCard);
  CHECK(error_of(base, false) <= 1e-6);
  CHECK(error_of(base, true) <= 1e-6);
  CHECK(error_of(base + 1000, true) <= 2e-4);  // a thousand deviations: fp32 itself keeps 4 digits of the deviations
  // Not the kernel's: M = 60, and a residual with gaps.
  for (const at::Tensor& other : {base.narrow(2, 0, 60).contiguous(), base.narrow(2, 0, 64)}) {
    const at::Tensor normed = adaptive_layer_norm({other, {}, {}, {}, {}, {}, {}}).normed;
    CHECK(relative_error(normed, adaptive_layer_norm({other.to(at::kDouble), {}, {}, {}, {}, {}, {}}).normed) <= 1e-6);
  }
}

// As the first case, over few rows and with the reference on the CPU: a memory checker and racecheck end on it.
TEST_CASE("adaptive layer norm kernels alone: small", "[cuda][adaptive_layer_norm][small][race][race_adaptive_layer_norm]") {
  if (!has_card()) SKIP("no CUDA device");
  constexpr int64_t B = 2, N = 9, M = 128;
  for (const Types& types : kTypes)
    for (const auto& present : kPresent) {
      INFO(c10::toString(types.residual) << " " << c10::toString(types.branch) << " gate " << present[2] << " scale " << present[3] << " weight "
                                         << present[5]);
      const Members members = make_members(B, N, M, types, present, 10);
      const std::array<at::Tensor, 2> cotangents = {normal({B, N, M}, 7, types.residual), normal({B, N, M}, 8, present[1] ? types.branch : types.residual)};
      Members exact;
      for (size_t i = 0; i < 7; ++i)
        if (present[i]) exact[i] = leaf(members[i].cpu(), at::kDouble);
      const auto op = [](const AdaptiveLayerNormInputs& in) { return adaptive_layer_norm(in, kEps); };
      const Result truth = run(op, exact, cotangents), got = run(op, leaves_of(members, {}), {cotangents[0].to(kCard), cotangents[1].to(kCard)});
      const double allowed = types.residual == at::kFloat && types.branch == at::kFloat ? 1e-5 : 3e-2;
      CHECK(relative_error(got.out.residual.cpu(), truth.out.residual) <= allowed);
      CHECK(relative_error(got.out.normed.cpu(), truth.out.normed) <= allowed);
      for (size_t i = 0; i < 7; ++i) {
        if (!present[i]) continue;
        INFO("gradient of member " << i);
        CHECK(relative_error(got.grads[i].cpu(), truth.grads[i]) <= allowed);
      }
    }
}
