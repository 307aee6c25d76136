#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/utils/clip_grad.h>
#include <torch/optim/adamw.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "core/error.h"
#include "nn/channels_last.h"
#include "tests/support/support.h"
#include "train/adamw.h"
#include "train/ema.h"
#include "train/flat_parameters.h"
#include "train/learning_rate.h"

using namespace linden;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::WithinAbs;
using Catch::Matchers::WithinRel;

namespace {

std::shared_ptr<torch::nn::Module> small_network() {
  at::manual_seed(3);
  return torch::nn::Sequential(torch::nn::Conv2d(torch::nn::Conv2dOptions(2, 3, 3)), torch::nn::ReLU(), torch::nn::Flatten(), torch::nn::Linear(3 * 4, 5))
      .ptr();
}

at::Tensor forward(const std::shared_ptr<torch::nn::Module>& module, const at::Tensor& x) {
  return std::dynamic_pointer_cast<torch::nn::SequentialImpl>(module)->forward(x);
}

}  // namespace

TEST_CASE("flat parameters are the module's own memory", "[unit]") {
  const auto module = small_network(), other = small_network();
  weights_to_channels_last(*module);
  FlatParameters flat(module);
  const at::Tensor x = at::randn({4, 2, 4, 4});
  CHECK(flat.num_parameters() == 3 * 2 * 9 + 3 + 5 * 12 + 5);
  CHECK(at::allclose(forward(module, x), forward(other, x), 1e-5, 1e-6));
  CHECK(module->named_parameters()["0.weight"].is_contiguous(at::MemoryFormat::ChannelsLast));
  forward(module, x).square().sum().backward();
  forward(other, x).square().sum().backward();
  const NamedTensors gradients = flat.views(flat.gradients);
  for (const auto& item : other->named_parameters()) CHECK(at::allclose(gradients.at(item.key()), item.value().grad(), 1e-4, 1e-5));
  forward(module, x).square().sum().backward();  // accumulates in place, the views stay
  CHECK(at::allclose(flat.views(flat.gradients).at("3.bias"), 2 * other->named_parameters()["3.bias"].grad(), 1e-4, 1e-5));
  {
    const at::NoGradGuard no_grad;
    flat.values.zero_();
  }
  CHECK(forward(module, x).abs().max().item<float>() == 0);
}

TEST_CASE("filling flat parameters lists every mismatch", "[unit]") {
  FlatParameters flat(small_network());
  NamedTensors tensors = flat.views(flat.values.clone());
  tensors.erase("0.bias");
  tensors["3.bias"] = at::zeros({6});
  tensors["extra"] = at::zeros({1});
  const at::Tensor before = flat.values.clone();
  const std::string message = test::message_of([&] { flat.fill(flat.values, tensors, "some/ema.safetensors"); });
  CHECK_THROWS_AS(flat.fill(flat.values, tensors, "x"), InputError);
  CHECK_THAT(message, ContainsSubstring("some/ema.safetensors: its tensors do not fit this model"));
  CHECK_THAT(message, ContainsSubstring("0.bias is missing"));
  CHECK_THAT(message, ContainsSubstring("3.bias has shape [6], wanted [5]"));
  CHECK_THAT(message, ContainsSubstring("extra is not a tensor of this model"));
  CHECK(at::equal(before, flat.values));
}

TEST_CASE("AdamW and clipping equal LibTorch's", "[truth]") {
  const auto ours = small_network(), theirs = small_network();
  FlatParameters flat(ours);
  AdamWConfig config;
  config.learning_rate = 0.01;
  config.weight_decay = 0.1;
  config.beta2 = 0.97;
  AdamW optimizer(config, flat.values);
  torch::optim::AdamW reference(
      theirs->parameters(),
      torch::optim::AdamWOptions(config.learning_rate).betas({config.beta1, config.beta2}).eps(config.epsilon).weight_decay(config.weight_decay));
  for (int64_t step = 1; step <= 20; ++step) {
    const at::Tensor x = at::randn({4, 2, 4, 4});
    flat.gradients.zero_();
    reference.zero_grad();
    forward(ours, x).square().sum().backward();
    forward(theirs, x).square().sum().backward();
    const double norm = clip_gradient_norm(flat.gradients, 0.5).item<double>();
    CHECK_THAT(norm, WithinRel(torch::nn::utils::clip_grad_norm_(theirs->parameters(), 0.5), 1e-4));
    const at::NoGradGuard no_grad;
    optimizer.step(flat.values, flat.gradients, step, config.learning_rate);
    reference.step();
  }
  for (const auto& item : theirs->named_parameters()) {
    INFO(item.key());
    CHECK(at::allclose(flat.views(flat.values).at(item.key()), item.value(), 1e-4, 1e-5));
  }
}

TEST_CASE("clip 0 only measures", "[unit]") {
  const at::Tensor gradients = at::full({4}, 3.0f);
  CHECK(clip_gradient_norm(gradients, 0).item<double>() == 6.0);
  CHECK(gradients[0].item<float>() == 3.0f);
  clip_gradient_norm(gradients, 1.5);
  CHECK_THAT(gradients[0].item<float>(), WithinAbs(0.75, 1e-5));
}

TEST_CASE("the average warms up, then decays as asked, and can be used for a while", "[unit]") {
  const at::Tensor values = at::zeros({2});
  Ema ema(0.9, values);
  CHECK_THAT(ema.decay_at(1), WithinRel(2.0 / 11, 1e-12));
  CHECK(ema.decay_at(1000) == 0.9);
  values.fill_(1);
  ema.update(values, 1000);
  CHECK_THAT(ema.average[0].item<double>(), WithinAbs(0.1, 1e-6));
  {
    const UseAverage average(values, ema);
    CHECK_THAT(values[0].item<double>(), WithinAbs(0.1, 1e-6));
  }
  CHECK(values[0].item<double>() == 1);
  Ema none(0, values);
  values.fill_(5);
  none.update(values, 1);
  CHECK(none.average[0].item<double>() == 5);
}

TEST_CASE("learning rate: warm-up and the three schedules", "[unit]") {
  LearningRateConfig config{"constant", 10, 0.1};
  CHECK_THAT(learning_rate_factor(config, 5, 110), WithinRel(0.5, 1e-12));
  CHECK(learning_rate_factor(config, 10, 110) == 1);
  CHECK(learning_rate_factor(config, 110, 110) == 1);
  config.schedule = "linear";
  CHECK_THAT(learning_rate_factor(config, 60, 110), WithinRel(0.55, 1e-12));
  CHECK_THAT(learning_rate_factor(config, 110, 110), WithinRel(0.1, 1e-12));
  config.schedule = "cosine";
  CHECK_THAT(learning_rate_factor(config, 35, 110), WithinRel(0.1 + 0.9 * 0.8535533905932737, 1e-9));
  CHECK_THAT(learning_rate_factor(config, 110, 110), WithinRel(0.1, 1e-9));
  CHECK(learning_rate_factor({"cosine", 200, 0}, 100, 100) == 0.5);  // warm-up longer than the run
}
