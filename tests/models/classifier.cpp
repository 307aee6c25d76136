// Guide, judge and the MLP: shapes, names, folders.
#include <ATen/core/grad_mode.h>

#include <catch2/catch_test_macros.hpp>
#include <filesystem>

#include "core/error.h"
#include "core/files.h"
#include "models/image_classifier.h"
#include "models/mlp_denoiser.h"
#include "models/prior.h"
#include "models/scheduler_file.h"
#include "models/weights.h"
#include "tests/support/support.h"

using namespace linden;
using test::message_of;

namespace {

struct Holder {
  PriorConfig prior;
};
void visit_fields(FieldVisitor& v, Holder& c) { visit(v, Field("prior", "the prior"), c.prior); }

std::string names_and_shapes(const torch::nn::Module& module) {
  std::string text;
  for (const auto& [name, tensor] : named_weights(module)) {
    text += name;
    for (const int64_t size : tensor.sizes()) text += " " + std::to_string(size);
    text += "\n";
  }
  return text;
}

}  // namespace

TEST_CASE("the guide has the paper's layers", "[golden]") {
  const auto guide = make_classifier("DigitClassifier");
  CHECK(names_and_shapes(guide->module()) ==
        "conv1.bias 16\nconv1.weight 16 1 5 5\nconv2.bias 32\nconv2.weight 32 16 5 5\nlinear.bias 10\nlinear.weight 10 "
        "2048\n");
  CHECK(guide->num_features() == 2048);
}

TEST_CASE("the judge is built differently and small", "[golden]") {
  const auto judge = make_classifier("DigitJudge");
  CHECK(names_and_shapes(judge->module()) ==
        "convs.0.bias 16\nconvs.0.weight 16 1 3 3\nconvs.1.bias 32\nconvs.1.weight 32 16 3 3\nconvs.2.bias 32\n"
        "convs.2.weight 32 32 3 3\nconvs.3.bias 64\nconvs.3.weight 64 32 3 3\nconvs.4.bias 64\nconvs.4.weight 64 64 3 3\n"
        "linear.bias 10\nlinear.weight 10 64\nnorms.0.bias 16\nnorms.0.weight 16\nnorms.1.bias 32\nnorms.1.weight 32\n"
        "norms.2.bias 32\nnorms.2.weight 32\nnorms.3.bias 64\nnorms.3.weight 64\nnorms.4.bias 64\nnorms.4.weight 64\n");
  CHECK(judge->num_features() == 64);
  const test::TemporaryFolder folder;
  judge->save(folder.path, at::kHalf);
  CHECK(std::filesystem::file_size(folder / "model.safetensors") < 200000);
}

TEST_CASE("classifiers save, load by class name and pass gradients to x", "[unit]") {
  const at::Tensor x = at::rand({3, 1, 32, 32}) * 2 - 1;
  for (const char* name : {"DigitClassifier", "DigitJudge"}) {
    const auto classifier = make_classifier(name);
    const test::TemporaryFolder folder;
    classifier->save(folder.path, at::kFloat);
    const auto loaded = load_classifier(folder.path, at::kCPU);
    CHECK_FALSE(loaded->module().is_training());
    CHECK(loaded->num_classes() == 10);
    at::Tensor input = x.clone().requires_grad_(true);
    const at::Tensor logits = loaded->logits(input);
    CHECK(logits.sizes() == at::IntArrayRef({3, 10}));
    CHECK(at::allclose(logits, classifier->logits(x)));
    CHECK(loaded->features(x).sizes() == at::IntArrayRef({3, loaded->num_features()}));
    logits.sum().backward();
    CHECK(input.grad().abs().sum().item<double>() > 0);
    for (const at::Tensor& parameter : loaded->module().parameters()) CHECK_FALSE(parameter.requires_grad());
  }
}

TEST_CASE("what is no classifier is refused by name", "[unit]") {
  CHECK(message_of([] { make_classifier("ResNet"); }) == "ResNet is not a classifier; linden has DigitClassifier, DigitJudge and CifarResNet");
  CHECK(message_of([] { load_classifier("configs/models/digits_unet", at::kCPU); }).find("config.json: UNet2DModel is not a classifier") != std::string::npos);
  const auto guide = make_classifier("DigitClassifier");
  CHECK(message_of([&] { guide->logits(at::zeros({1, 1, 28, 28})); }) == "DigitClassifier: x is [1, 1, 28, 28], wanted [B, 1, 32, 32]");
  const test::TemporaryFolder folder;
  write_file_atomically(folder / "config.json", R"({"_class_name": "DigitClassifier", "image_size": 30})");
  CHECK(message_of([&] { load_classifier(folder.path, at::kCPU, "formula:1"); }) == "DigitClassifier: image_size is 30, wanted a multiple of 4");
  write_file_atomically(folder / "config.json", R"({"_class_name": "DigitJudge", "norm_groups": 5})");
  CHECK(message_of([&] { load_classifier(folder.path, at::kCPU, "formula:1"); }).find("channels has 16, which does not split into norm_groups = 5") !=
        std::string::npos);
  write_file_atomically(folder / "config.json", R"({"_class_name": "DigitJudge", "strides": [1]})");
  CHECK(message_of([&] { load_classifier(folder.path, at::kCPU, "formula:1"); }) ==
        "DigitJudge: channels has 5 entries and strides 1, wanted one a convolution in each");
}

TEST_CASE("the MLP is a prior with a schedule", "[unit]") {
  const test::TemporaryFolder folder;
  MlpDenoiser mlp{MlpDenoiserConfig{}};
  save_model_folder(folder.path, *mlp, mlp->config());
  write_scheduler_config(folder.path, toy_schedule());
  CHECK(names_and_shapes(*mlp).find("layers.0.weight 128 66\n") != std::string::npos);
  CHECK(named_weights(*mlp).size() == 10);
  const Prior prior = load_prior(MlpPriorConfig{folder.path.string()}, at::kCPU);
  CHECK(prior.schedule.num_train_steps() == 100);
  CHECK(prior.network->shape() == std::vector<int64_t>{2});
  at::NoGradGuard no_grad;
  const at::Tensor x = at::randn({5, 2}), t = at::arange(5);
  CHECK(at::equal(prior.network->predict_noise(x, t), mlp(x, t)));
  CHECK_FALSE(at::equal(mlp(x, t), mlp(x, t + 1)));
}

TEST_CASE("priors are made from JSON by type", "[unit]") {
  const auto read = [](const std::string& type) {
    Holder holder;
    from_json(R"({"prior": {"type": ")" + type + R"("}})", "test", holder);
    return holder.prior;
  };
  const Prior mixture = load_prior(read("gaussian_mixture"), at::kCPU);
  CHECK(mixture.schedule.num_train_steps() == 100);
  CHECK(mixture.network->shape() == std::vector<int64_t>{2});
  CHECK(load_prior(read("checkerboard"), at::kCPU).schedule.num_train_steps() == 100);
  const Prior unet = load_prior(UNet2DPriorConfig{"configs/models/digits_unet", "formula:0"}, at::kCPU);
  CHECK(unet.schedule.num_train_steps() == 1000);
  CHECK(unet.network->shape() == std::vector<int64_t>{1, 32, 32});
  CHECK(message_of([&] { load_prior(read("unet2d"), at::kCPU); }).find("prior of type unet2d: folder is empty") != std::string::npos);
  CHECK(message_of([&] { load_prior(read("mlp"), at::kCPU); }).find("prior of type mlp: folder is empty") != std::string::npos);
}

TEST_CASE("gradients of a frozen prior flow to x", "[unit]") {
  const Prior prior = load_prior(UNet2DPriorConfig{"configs/models/digits_unet", "formula:0"}, at::kCPU);
  at::Tensor x = at::randn({2, 1, 32, 32}).requires_grad_(true);
  prior.network->predict_noise(x, at::tensor({3, 900}, at::kLong)).square().sum().backward();
  CHECK(x.grad().isfinite().all().item<bool>());
  CHECK(x.grad().abs().sum().item<double>() > 0);
}
