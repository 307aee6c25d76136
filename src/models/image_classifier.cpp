#include "models/image_classifier.h"

#include "core/error.h"
#include "models/classifier.h"
#include "models/judge.h"
#include "models/model_folder.h"

namespace linden {
namespace {

[[noreturn]] void fail_unknown(const std::string& class_name, const std::string& where) {
  throw InputError(fmt::format("{}{} is not a classifier; linden has {} and {}", where, class_name,
                               DigitClassifierConfig::kClassName, DigitJudgeConfig::kClassName));
}

}  // namespace

std::shared_ptr<ImageClassifier> make_classifier(const std::string& class_name) {
  if (class_name == DigitClassifierConfig::kClassName)
    return std::make_shared<DigitClassifierImpl>(DigitClassifierConfig{});
  if (class_name == DigitJudgeConfig::kClassName) return std::make_shared<DigitJudgeImpl>(DigitJudgeConfig{});
  fail_unknown(class_name, "");
}

std::shared_ptr<ImageClassifier> load_classifier(const std::filesystem::path& folder, at::Device device,
                                                 const std::string& weights) {
  const std::string class_name = model_class_name(folder);
  std::shared_ptr<ImageClassifier> classifier;
  if (class_name == DigitClassifierConfig::kClassName) {
    classifier = std::make_shared<DigitClassifierImpl>(read_model_config<DigitClassifierConfig>(folder));
  } else if (class_name == DigitJudgeConfig::kClassName) {
    classifier = std::make_shared<DigitJudgeImpl>(read_model_config<DigitJudgeConfig>(folder));
  } else {
    fail_unknown(class_name, (folder / "config.json").string() + ": ");
  }
  load_model_weights(*classifier, folder, weights);
  classifier->to(device);
  classifier->eval();
  for (at::Tensor& parameter : classifier->parameters()) parameter.requires_grad_(false);
  return classifier;
}

}  // namespace linden
