// The card's tests of the small kernels (tests/cuda) are compiled into this program and run emulated; here, that they do run kernels: an
// operator that quietly took its expression would pass them all.
#include <ATen/ATen.h>
#include <catch2/catch_test_macros.hpp>
#include <torch/csrc/autograd/autograd.h>

#include "ops/adaptive_layer_norm.h"
#include "ops/bias_residual.h"
#include "ops/group_norm_silu.h"
#include "ops/rms_norm_rotary.h"
#include "tests/cuda_emulator/emulator/device.h"
#include "tests/support/gradcheck.h"

namespace linden {
namespace {

// Kernels that `function` and the gradient of what it returns launch.
template <class Function>
std::pair<int64_t, int64_t> launches_of(const Function& function, const at::Tensor& x) {
  const int64_t before = emulator::num_launches();
  const at::Tensor out = function();
  const int64_t forward = emulator::num_launches() - before;
  torch::autograd::grad({out}, {x}, {at::ones_like(out)});
  return {forward, emulator::num_launches() - before - forward};
}

}  // namespace

TEST_CASE("emulated operators run their kernels, forward and backward", "[unit]") {
  const at::Tensor rows = test::normal({2, 5, 128}, 1, at::kFloat).requires_grad_(), weight = test::normal({128}, 2, at::kFloat);
  CHECK((launches_of([&] { return rms_norm_rotary(rows, weight, 4, {}); }, rows) == std::pair<int64_t, int64_t>{1, 1}));
  AdaptiveLayerNormInputs inputs;
  inputs.residual = rows;
  CHECK((launches_of([&] { return adaptive_layer_norm(inputs).normed; }, rows) == std::pair<int64_t, int64_t>{1, 1}));

  const at::Tensor image = test::normal({2, 32, 4, 4}, 3, at::kFloat).contiguous(at::MemoryFormat::ChannelsLast).requires_grad_();
  const at::Tensor scale = test::normal({32}, 4, at::kFloat);
  CHECK((launches_of([&] { return group_norm_silu(image, {}, scale, scale, {.num_groups = 8}); }, image) == std::pair<int64_t, int64_t>{1, 1}));
  const int64_t before = emulator::num_launches();
  bias_residual(image.detach().clone(), scale, {});
  CHECK(emulator::num_launches() == before + 1);
}

}  // namespace linden
