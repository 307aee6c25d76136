#include "models/image_classifier.h"

#include "core/error.h"
#include "models/cifar_resnet.h"
#include "models/classifier.h"
#include "models/judge.h"
#include "models/model_folder.h"

namespace linden {
namespace {

[[noreturn]] void fail_unknown(const std::string& class_name, const std::string& where) {
  throw InputError(fmt::format("{}{} is not a classifier; linden has {}, {} and {}", where, class_name, DigitClassifierConfig::kClassName,
                               DigitJudgeConfig::kClassName, CifarResNetConfig::kClassName));
}

// An untrained classifier of the layout that the folder, or the weights file, describes.
std::shared_ptr<ImageClassifier> make_described(const std::filesystem::path& model, const std::string& class_name) {
  if (class_name == DigitClassifierConfig::kClassName) return std::make_shared<DigitClassifierImpl>(read_model_config<DigitClassifierConfig>(model));
  if (class_name == DigitJudgeConfig::kClassName) return std::make_shared<DigitJudgeImpl>(read_model_config<DigitJudgeConfig>(model));
  if (class_name != CifarResNetConfig::kClassName) fail_unknown(class_name, (model / "config.json").string() + ": ");
  return std::make_shared<CifarResNetImpl>(is_weights_file(model) ? cifar_resnet_config(load_safetensors(model), model.string())
                                                                  : read_model_config<CifarResNetConfig>(model));
}

}  // namespace

std::shared_ptr<ImageClassifier> make_classifier(const std::string& class_name) {
  if (class_name == DigitClassifierConfig::kClassName) return std::make_shared<DigitClassifierImpl>(DigitClassifierConfig{});
  if (class_name == DigitJudgeConfig::kClassName) return std::make_shared<DigitJudgeImpl>(DigitJudgeConfig{});
  if (class_name == CifarResNetConfig::kClassName) return std::make_shared<CifarResNetImpl>(CifarResNetConfig{});
  fail_unknown(class_name, "");
}

std::shared_ptr<ImageClassifier> load_classifier(const std::filesystem::path& model, at::Device device, const std::string& weights) {
  const std::shared_ptr<ImageClassifier> classifier = make_described(model, model_class_name(model));
  torch::nn::Module& network = classifier->module();
  load_model_weights(network, model, weights);
  network.to(device);
  network.eval();
  for (at::Tensor& parameter : network.parameters()) parameter.requires_grad_(false);
  return classifier;
}

}  // namespace linden
