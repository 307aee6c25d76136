// The CIFAR-10 ResNets against the reference network (scripts/golden/make_cifar.py).
#include "models/cifar_resnet.h"

#include <ATen/ATen.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "core/error.h"
#include "core/files.h"
#include "models/any_model.h"
#include "models/formula_weights.h"
#include "models/weights.h"
#include "nn/trace.h"
#include "tests/support/support.h"

using namespace linden;
using Catch::Matchers::ContainsSubstring;
using linden::test::message_of;
using linden::test::TemporaryFolder;

namespace {

double relative_error(const at::Tensor& got, const at::Tensor& wanted) { return ((got - wanted).norm() / wanted.norm()).item<double>(); }

}  // namespace

TEST_CASE("a CIFAR ResNet has the reference's tensors", "[golden]") {
  for (const int64_t depth : {20, 32}) {
    std::string text;
    for (const auto& [name, tensor] : named_weights(CifarResNetImpl({depth, 10}))) text += fmt::format("{} {}\n", name, fmt::join(tensor.sizes(), " "));
    CHECK(text == read_text_file(fmt::format("tests/golden/models/cifar_resnet{}_keys.txt", depth)));
  }
}

TEST_CASE("a CIFAR ResNet computes what the reference does", "[golden]") {
  CifarResNetImpl network({20, 10});
  network.eval();
  set_formula_weights(network, 11);
  NamedTensors got;
  const at::Tensor x = load_safetensors("tests/golden/models/cifar_resnet20_input.safetensors").at("sample");
  {
    TraceSession session([&](const std::string& name, const at::Tensor& tensor) {
      if (name.starts_with("layer")) got["trace." + name] = tensor.slice(1, 0, {}, 4).clone();
    });
    got["logits"] = network.logits(x);
  }
  got["features"] = network.features(x);
  const NamedTensors wanted = load_safetensors("tests/golden/models/cifar_resnet20_output.safetensors");
  CHECK(got.size() == wanted.size());
  for (const auto& [name, tensor] : wanted) {
    INFO(name);
    REQUIRE(got.contains(name));
    CHECK(relative_error(got.at(name), tensor) < 1e-5);
  }
}

TEST_CASE("a CIFAR ResNet loads from a weights file alone and from a folder", "[unit]") {
  TemporaryFolder folder;
  const auto network = std::make_shared<CifarResNetImpl>(CifarResNetConfig{14, 7});
  set_formula_weights(*network, 3);
  network->save(folder / "model", at::kFloat);
  const at::Tensor x = at::rand({2, 3, 32, 32}) * 2 - 1;
  const std::filesystem::path alone = folder / "resnet14.safetensors";
  std::filesystem::copy_file(folder / "model/model.safetensors", alone);
  for (const std::filesystem::path& place : {folder / "model", alone}) {
    CHECK(model_class_name(place) == "CifarResNet");
    const auto loaded = load_classifier(place, at::kCPU);
    CHECK(loaded->num_classes() == 7);
    CHECK(loaded->num_features() == 64);
    at::Tensor input = x.clone().requires_grad_(true);
    const at::Tensor logits = loaded->logits(input);
    CHECK(at::allclose(logits, network->logits(x)));
    logits.sum().backward();
    CHECK(input.grad().abs().sum().item<double>() > 0);
  }
  const AnyModel any = load_any_model(alone, "folder", at::kCPU, at::kFloat);
  CHECK(at::allclose(run_model(any, {{"sample", x}}, at::kCPU, at::kFloat).at("features"), network->features(x), 1e-4, 1e-5));
  CHECK(make_classifier("CifarResNet")->num_classes() == 10);
}

TEST_CASE("what is no CIFAR ResNet is refused", "[unit]") {
  CHECK(message_of([] { CifarResNetImpl({21, 10}); }) == "CifarResNet: depth is 21, wanted 6 n + 2 (20, 32, 44, 56, 110)");
  CHECK(message_of([] { CifarResNetImpl({8, 10}).logits(at::zeros({1, 1, 32, 32})); }) == "CifarResNet: x is [1, 1, 32, 32], wanted [B, 3, 32, 32]");
  const std::string file = "tests/golden/models/digits_unet_input.safetensors";
  CHECK_THAT(message_of([&] { load_classifier(file, at::kCPU); }),
             ContainsSubstring(file + ": these are not the weights of a CifarResNet (wanted layer1.0.conv1.weight"));
  TemporaryFolder folder;
  NamedTensors weights = named_weights(CifarResNetImpl({8, 10}));
  weights.erase("bn1.running_var");
  save_safetensors(folder / "cut.safetensors", weights);
  CHECK_THAT(message_of([&] { load_classifier(folder / "cut.safetensors", at::kCPU); }), ContainsSubstring("1 missing:\n    bn1.running_var [16]"));
}
