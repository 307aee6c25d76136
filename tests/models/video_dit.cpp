// The video diffusion transformer against the reference library: outputs, activations, every gradient, bf16, names.
#include "models/video_dit.h"

#include <ATen/core/grad_mode.h>

#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <sstream>

#include "core/files.h"
#include "models/weights.h"
#include "nn/trace.h"
#include "tests/models/video_dit_cases.h"
#include "tests/support/gradcheck.h"

using namespace linden;
using namespace linden::test;

namespace {

// wanted: the norm of the reference's gradient, and its products with pseudo-random tensors. A product is off by about the
// norm of the difference times the root mean square of that tensor.
void check_gradient(const std::string& name, const at::Tensor& gradient, const at::Tensor& wanted, uint64_t seed) {
  constexpr double kTolerance = 1e-4;
  INFO("gradient of " << name);
  REQUIRE(gradient.defined());
  const at::Tensor flat = gradient.detach().to(at::kDouble).flatten();
  const double norm = wanted[0].item<double>();
  REQUIRE(norm > 0);
  CHECK(std::abs(flat.norm().item<double>() - norm) <= kTolerance * norm);
  for (int64_t k = 0; k + 1 < wanted.numel(); ++k) {
    const at::Tensor probe = uniform(name + ".probe" + std::to_string(k), flat.sizes(), seed).to(at::kDouble);
    const double root_mean_square = probe.norm().item<double>() / std::sqrt(static_cast<double>(probe.numel()));
    CHECK(std::abs(flat.dot(probe).item<double>() - wanted[k + 1].item<double>()) <= kTolerance * norm * root_mean_square);
  }
}

void check_activations(const VideoCase& golden, const NamedTensors& got) {
  for (const auto& [name, tensor] : golden.wanted) {
    if (name != "sample" && !name.starts_with("trace.")) continue;
    INFO(name);
    REQUIRE(got.contains(name));
    REQUIRE(got.at(name).sizes() == tensor.sizes());
    CHECK(relative_error(got.at(name), tensor) <= 1e-5);
  }
}

std::string key_list(const torch::nn::Module& module) {
  std::string lines;
  for (const auto& [name, tensor] : named_weights(module)) {
    lines += name;
    for (const int64_t size : tensor.sizes()) lines += " " + std::to_string(size);
    lines += "\n";
  }
  return lines;
}

void check_against_reference(const std::string& name) {
  VideoCase golden = read_video_case(name);
  VideoDit model = make_video_dit(golden.config, golden.seed);
  CHECK(key_list(*model) == read_text_file("tests/golden/models/video_dit_" + name + "_keys.txt"));
  golden.latents.requires_grad_();
  golden.text.requires_grad_();
  NamedTensors got;
  {
    TraceSession session([&](const std::string& module, const at::Tensor& tensor) { got["trace." + module] = tensor.detach().clone(); });
    got["sample"] = model(golden.latents, golden.timestep, golden.text);
  }
  check_activations(golden, got);
  (got.at("sample") * uniform("cotangent", got.at("sample").sizes(), golden.seed)).sum().backward();
  check_gradient("hidden_states", golden.latents.grad(), golden.wanted.at("gradient.hidden_states"), golden.seed);
  check_gradient("encoder_hidden_states", golden.text.grad(), golden.wanted.at("gradient.encoder_hidden_states"), golden.seed);
  for (const auto& item : model->named_parameters()) check_gradient(item.key(), item.value().grad(), golden.wanted.at("gradient." + item.key()), golden.seed);

  const at::NoGradGuard no_grad;
  model->to(at::kBFloat16);
  const double error = relative_error(model(golden.latents, golden.timestep, golden.text), golden.wanted.at("sample"));
  INFO("bf16: " << error << ", the reference's " << golden.bf16_error);
  CHECK(error <= 2 * golden.bf16_error);
}

}  // namespace

TEST_CASE("a small video transformer equals the reference library", "[golden]") { check_against_reference("tiny"); }
TEST_CASE("a video transformer of unusual sizes equals the reference library", "[golden]") { check_against_reference("odd"); }
TEST_CASE("a video transformer of Wan 1.3B's width equals the reference library", "[golden]") { check_against_reference("wide"); }

TEST_CASE("30 blocks of Wan 1.3B's width have the published number of tensors and parameters", "[golden]") {
  int64_t tensors[2] = {0, 0}, parameters[2] = {0, 0};  // outside the blocks; in one block
  std::istringstream lines(read_text_file("tests/golden/models/video_dit_wide_keys.txt"));
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("blocks.1.")) continue;
    std::istringstream words(line);
    std::string name;
    words >> name;
    const bool in_block = name.starts_with("blocks.0.");
    int64_t count = 1;
    for (int64_t size; words >> size;) count *= size;
    ++tensors[in_block];
    parameters[in_block] += count;
  }
  CHECK(tensors[0] + 30 * tensors[1] == 825);
  CHECK(parameters[0] + 30 * parameters[1] == 1418996800);
}

TEST_CASE("gradients of a gated video transformer are right", "[truth]") {
  VideoCase golden = read_video_case("tiny");
  golden.config.attention = {"softmax", "gated", "linear"};
  VideoDit model = make_video_dit(golden.config, golden.seed);
  model->to(at::kDouble);
  std::vector<at::Tensor> leaves = {golden.latents.narrow(3, 0, 2).to(at::kDouble), golden.text.to(at::kDouble)};
  CHECK(gradient_error([&](const std::vector<at::Tensor>& x) { return model(x[0], golden.timestep, x[1]); }, leaves, 2) < 1e-6);
  // The gate's own gradient, by moving it.
  at::Tensor gate = model->blocks()[1]->self_attention()->gate();
  const auto value = [&] { return model(leaves[0], golden.timestep, leaves[1]).sin().sum(); };
  value().backward();
  const at::NoGradGuard no_grad;
  constexpr double kStep = 1e-5;
  gate += kStep;
  const double above = value().item<double>();
  gate -= 2 * kStep;
  const double numeric = (above - value().item<double>()) / (2 * kStep);
  CHECK(std::abs(gate.grad().item<double>() - numeric) <= 1e-6 * std::abs(numeric));
}
