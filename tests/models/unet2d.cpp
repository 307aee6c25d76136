// The U-Net against the reference library, its names, and both memory layouts.
#include "models/unet2d.h"

#include <ATen/core/grad_mode.h>

#include <catch2/catch_test_macros.hpp>
#include <filesystem>
#include <fstream>
#include <set>

#include "core/error.h"
#include "core/files.h"
#include "io/safetensors.h"
#include "models/formula_weights.h"
#include "models/model_folder.h"
#include "models/network_predictor.h"
#include "models/weights.h"
#include "nn/channels_last.h"
#include "nn/trace.h"
#include "tests/support/support.h"

using namespace linden;

namespace {

const std::string kGolden = "tests/golden/models/";

// The golden's config as a model folder, whatever layout it is.
UNet2DConfig golden_config(const std::string& layout) {
  const SafetensorsFile file(kGolden + layout + "_unet_output.safetensors");
  const test::TemporaryFolder folder;
  write_file_atomically(folder / "config.json", file.metadata().at("config"));
  return read_model_config<UNet2DConfig>(folder.path);
}

UNet2D golden_unet(const std::string& layout) {
  const SafetensorsFile file(kGolden + layout + "_unet_output.safetensors");
  UNet2D unet(golden_config(layout));
  set_formula_weights(*unet, formula_seed(file.metadata().at("weights")));
  unet->eval();
  return unet;
}

double relative_error(const at::Tensor& got, const at::Tensor& wanted) { return ((got - wanted).norm() / wanted.norm()).item<double>(); }

void check_against_reference(const std::string& layout) {
  at::NoGradGuard no_grad;
  const NamedTensors input = load_safetensors(kGolden + layout + "_unet_input.safetensors");
  const NamedTensors wanted = load_safetensors(kGolden + layout + "_unet_output.safetensors");
  UNet2D unet = golden_unet(layout);
  NamedTensors got;
  {
    TraceSession session([&](const std::string& name, const at::Tensor& tensor) { got["trace." + name] = tensor.clone(); });
    got["sample"] = unet(input.at("sample"), input.at("timestep"));
  }
  for (const auto& [name, tensor] : wanted) {
    INFO(layout << " " << name);
    REQUIRE(got.contains(name));
    REQUIRE(got.at(name).sizes() == tensor.sizes());
    CHECK(relative_error(got.at(name), tensor) <= 1e-5);
  }
  weights_to_channels_last(*unet);
  const at::Tensor sample = input.at("sample").contiguous(at::MemoryFormat::ChannelsLast);
  CHECK(relative_error(unet(sample, input.at("timestep")), wanted.at("sample")) <= 1e-5);
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

}  // namespace

TEST_CASE("the CIFAR-10 U-Net equals the reference library", "[golden]") { check_against_reference("cifar10"); }
TEST_CASE("the digits U-Net equals the reference library", "[golden]") { check_against_reference("digits"); }
TEST_CASE("a U-Net with every other option equals the reference library", "[golden]") { check_against_reference("small"); }

TEST_CASE("state dict names and shapes are the reference's", "[golden]") {
  for (const std::string layout : {"cifar10", "digits", "small"}) {
    INFO(layout);
    const UNet2D unet(golden_config(layout));
    CHECK(key_list(*unet) == read_text_file(kGolden + layout + "_unet_keys.txt"));
  }
  const UNet2D cifar10(read_model_config<UNet2DConfig>("configs/models/cifar10_unet"));
  int64_t count = 0;
  for (const auto& [name, tensor] : named_weights(*cifar10)) count += tensor.numel();
  CHECK(named_weights(*cifar10).size() == 328);
  CHECK(count == 35746307);
}

TEST_CASE("both memory layouts give the same gradients", "[unit]") {
  UNet2D unet = golden_unet("small");
  const NamedTensors input = load_safetensors(kGolden + "small_unet_input.safetensors");
  at::Tensor gradients[2];
  for (const bool channels_last : {false, true}) {
    if (channels_last) weights_to_channels_last(*unet);
    const auto format = channels_last ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous;
    at::Tensor sample = input.at("sample").clone().contiguous(format).requires_grad_(true);
    unet->zero_grad();
    unet(sample, input.at("timestep")).square().sum().backward();
    gradients[channels_last] = sample.grad().contiguous();
    for (const at::Tensor& parameter : unet->parameters()) REQUIRE(parameter.grad().defined());
  }
  CHECK(relative_error(gradients[1], gradients[0]) < 1e-5);
}

TEST_CASE("gradients of the U-Net with respect to its input are right", "[truth]") {
  UNet2D unet = golden_unet("small");
  unet->to(at::kDouble);
  const NamedTensors input = load_safetensors(kGolden + "small_unet_input.safetensors");
  const at::Tensor direction = at::randn_like(input.at("sample"), at::kDouble);
  at::Tensor sample = input.at("sample").to(at::kDouble).requires_grad_(true);
  unet(sample, input.at("timestep")).sin().sum().backward();
  at::NoGradGuard no_grad;
  const double step = 1e-5;
  const auto value = [&](double amount) { return unet(sample + amount * direction, input.at("timestep")).sin().sum().item<double>(); };
  const double numeric = (value(step) - value(-step)) / (2 * step);
  CHECK(std::abs((sample.grad() * direction).sum().item<double>() - numeric) < 1e-6 * std::abs(numeric));
}

TEST_CASE("the predictor of a U-Net follows rows, not batches", "[unit]") {
  at::NoGradGuard no_grad;
  const std::shared_ptr<NoisePredictor> predictor = unet2d_predictor(load_unet2d("configs/models/digits_unet", "formula:1"), at::kCPU);
  CHECK(predictor->shape() == std::vector<int64_t>{1, 32, 32});
  const at::Tensor x = at::randn({3, 1, 32, 32});
  const at::Tensor t = at::tensor({0, 500, 999}, at::kLong);
  const at::Tensor together = predictor->predict_noise(x, t);
  CHECK(together.is_contiguous());
  const at::Tensor alone = predictor->predict_noise(x.narrow(0, 1, 1), t.narrow(0, 1, 1));
  CHECK(relative_error(alone[0], together[1]) < 1e-5);
}

TEST_CASE("traces carry the reference's module names", "[unit]") {
  at::NoGradGuard no_grad;
  UNet2D unet = golden_unet("small");
  const NamedTensors input = load_safetensors(kGolden + "small_unet_input.safetensors");
  std::set<std::string> names;
  CHECK_FALSE(tracing());
  {
    TraceSession session([&](const std::string& name, const at::Tensor&) { names.insert(name); });
    CHECK(tracing());
    unet(input.at("sample"), input.at("timestep"));
  }
  CHECK_FALSE(tracing());
  for (const char* name :
       {"time_proj", "time_embedding", "conv_in", "down_blocks.0", "down_blocks.0.resnets.1", "down_blocks.0.attentions.0", "down_blocks.0.downsamplers.0",
        "mid_block", "mid_block.resnets.1", "mid_block.attentions.0", "up_blocks.1.resnets.2", "up_blocks.0.upsamplers.0", "conv_act", "conv_out"})
    CHECK(names.contains(name));
}

TEST_CASE("a U-Net config that does not hold together is refused", "[unit]") {
  UNet2DConfig config = golden_config("small");
  config.up_block_types.pop_back();
  CHECK(test::message_of([&] { UNet2D{config}; }).find("up_block_types 1; wanted one a level") != std::string::npos);
  config = golden_config("small");
  config.norm_num_groups = 3;
  CHECK(test::message_of([&] { UNet2D{config}; }).find("8, which does not split into norm_num_groups = 3") != std::string::npos);
  config = golden_config("small");
  config.attention_head_dim = 5;
  CHECK(test::message_of([&] { UNet2D{config}; }).find("attention_head_dim = 5") != std::string::npos);
  config = golden_config("small");
  config.attn_norm_num_groups = 7;
  CHECK(test::message_of([&] { UNet2D{config}; }).find("attn_norm_num_groups = 7") != std::string::npos);
  config = golden_config("small");
  config.freq_shift = 4;
  CHECK(test::message_of([&] { UNet2D{config}; }).find("with freq_shift = 4") != std::string::npos);
}

TEST_CASE("a sample of the wrong shape is refused", "[unit]") {
  UNet2D unet = golden_unet("small");
  const at::Tensor t = at::zeros({1}, at::kLong);
  CHECK(test::message_of([&] {
          unet(at::zeros({1, 2, 11, 12}), t);
        }).find("sample is [1, 2, 11, 12], wanted [B, 2, Y, X] with Y and X multiples of 2") != std::string::npos);
  CHECK(test::message_of([&] { unet(at::zeros({2, 2, 12, 12}), t); }).find("timestep is [1], wanted [2]") != std::string::npos);
}
