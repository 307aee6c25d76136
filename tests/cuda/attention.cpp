// Softmax attention on a card: what is chosen, that it is right on every back-end, and that nothing is measured under capture.
#include "ops/attention.h"

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <ATen/core/grad_mode.h>

#include <catch2/catch_test_macros.hpp>
#include <torch/csrc/autograd/function.h>

#ifdef LINDEN_HAS_CUDA
#include <ATen/cuda/CUDAContext.h>
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDAGuard.h>

#include "core/device.h"
#include "core/logging.h"
#include "ops/attention_measure.h"
#include "tests/cuda/kernel_error.h"

using namespace linden;
using namespace linden::test;

namespace {

at::Tensor on_card(at::IntArrayRef sizes, uint64_t seed, at::ScalarType type) { return normal(sizes, seed, at::kFloat).to(at::kCUDA, type); }

}  // namespace

TEST_CASE("attention back-ends: on Hopper the flash kernel does not run where cuDNN is faster", "[cuda][attention]") {
  if (!at::hasCUDA()) SKIP("no CUDA device");
  if (at::cuda::getCurrentDeviceProperties()->major != 9) SKIP("not compute capability 9");
  for (const bool gradient : {false, true}) {
    const at::Tensor q = on_card({1, 8192, 12, 128}, 1, at::kBFloat16), k = on_card({1, 8192, 12, 128}, 2, at::kBFloat16).requires_grad_(gradient);
    AttentionChoices choices;
    const at::Tensor out = softmax_attention(q, k, k, {}, choices);
    CHECK(out.sizes() == q.sizes());
    const std::map<AttentionShape, AttentionMeasurement> all = choices.all();
    REQUIRE(all.size() == 1);
    const auto& [shape, measurement] = *all.begin();
    INFO(description_of(measurement));
    CHECK(shape.device == device_name(q.device()));
    CHECK(shape.gradient == gradient);
    CHECK(measurement.microseconds.contains(AttentionBackend::kCudnn));
    CHECK(choices.find(shape) != AttentionBackend::kFlash);
    if (gradient) out.sum().backward();
    CHECK(choices.all().size() == 1);
  }
}

TEST_CASE("attention back-ends: all that run give the formula and its gradient, padded or not, also over other keys", "[cuda][attention]") {
  if (!at::hasCUDA()) SKIP("no CUDA device");
  for (const at::ScalarType type : {at::kBFloat16, at::kHalf, at::kFloat})
    for (const bool padded : {false, true})
      for (const int64_t keys : {200, 77}) {
        if (padded && keys != 200) continue;
        const at::Tensor q = on_card({2, 200, 3, 64}, 1, type), k = on_card({2, keys, 3, 64}, 2, type), v = on_card({2, keys, 3, 64}, 3, type);
        const at::Tensor counts = padded ? at::tensor({int64_t{200}, int64_t{123}}).cuda() : at::Tensor(), cotangent = on_card({2, 200, 3, 64}, 4, type);
        const auto run = [&](at::ScalarType as, AttentionChoices& choices) {
          const std::vector<at::Tensor> leaves = {leaf(q, as), leaf(k, as), leaf(v, as)};
          const at::Tensor out = softmax_attention(leaves[0], leaves[1], leaves[2], counts, choices);
          std::vector<at::Tensor> all = torch::autograd::grad({out}, leaves, {cotangent.to(as)});
          all.push_back(out.detach());
          return all;
        };
        AttentionChoices choices;
        const std::vector<at::Tensor> truth = run(at::kDouble, choices);
        run(type, choices);
        for (const AttentionBackend backend : kAttentionBackends) {
          AttentionShape shape = attention_shape_of(leaf(q, type), k, v, counts);
          if (!choices.all().at(shape).microseconds.contains(backend)) continue;
          choices.prefer(backend);
          CHECK(choices.find(shape) == backend);
          const std::vector<at::Tensor> got = run(type, choices);
          INFO(name_of(backend) << " " << c10::toString(type) << " padded " << padded << " keys " << keys);
          for (size_t i = 0; i < got.size(); ++i) CHECK(relative_error(got[i], truth[i]) <= (type == at::kBFloat16 ? 2e-2 : 4e-3));
        }
        choices.prefer(std::nullopt);
      }
}

TEST_CASE("attention back-ends: the gradient runs on the back-end that was chosen", "[cuda][attention]") {
  if (!at::hasCUDA()) SKIP("no CUDA device");
  const at::Tensor q = on_card({1, 256, 2, 64}, 1, at::kBFloat16).requires_grad_();
  const at::Tensor flash = attention_by(AttentionBackend::kFlash, {q.transpose(1, 2), q.transpose(1, 2), q.transpose(1, 2), {}});
  CHECK(flash.grad_fn()->name().find("Flash") != std::string::npos);
  const at::Tensor efficient = attention_by(AttentionBackend::kEfficient, {q.transpose(1, 2), q.transpose(1, 2), q.transpose(1, 2), {}});
  CHECK(efficient.grad_fn()->name().find("Efficient") != std::string::npos);
}

TEST_CASE("attention back-ends: a shape is not measured while a graph is captured; one that is known runs in it", "[cuda][attention]") {
  if (!at::hasCUDA()) SKIP("no CUDA device");
  const at::NoGradGuard no_grad;
  const at::Tensor q = on_card({1, 256, 2, 64}, 1, at::kBFloat16);
  for (const bool known : {false, true}) {
    AttentionChoices choices;
    const at::Tensor wanted = at::scaled_dot_product_attention(q.transpose(1, 2), q.transpose(1, 2), q.transpose(1, 2)).transpose(1, 2);
    if (known) softmax_attention(q, q, q, {}, choices);
    const int64_t warnings = warnings_logged();
    const c10::cuda::CUDAStream stream = c10::cuda::getStreamFromPool();
    c10::cuda::device_synchronize();
    at::Tensor out;
    at::cuda::CUDAGraph graph;
    {
      const c10::cuda::CUDAStreamGuard guard(stream);
      graph.capture_begin();
      out = softmax_attention(q, q, q, {}, choices);
      graph.capture_end();
      graph.replay();
    }
    c10::cuda::device_synchronize();
    CHECK(choices.all().size() == (known ? 1u : 0u));
    CHECK(warnings_logged() == warnings + (known ? 0 : 1));
    CHECK(relative_error(out, wanted) <= 1e-2);
  }
}
#endif
