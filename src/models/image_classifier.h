// What rewards and metrics see of a classifier of images.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <filesystem>
#include <memory>
#include <string>

namespace torch::nn {
class Module;
}

namespace linden {

class ImageClassifier {
 public:
  virtual ~ImageClassifier() = default;
  // x: [B, C, Y, X] in [-1, 1]. Returns [B, num_classes()], before softmax.
  virtual at::Tensor logits(const at::Tensor& x) = 0;
  // The input of the last linear layer. [B, num_features()]
  virtual at::Tensor features(const at::Tensor& x) = 0;
  virtual torch::nn::Module& module() = 0;  // the network itself: its weights, its mode, its device
  virtual int64_t in_channels() const = 0;
  virtual int64_t num_classes() const = 0;
  virtual int64_t num_features() const = 0;
  // Writes a model folder (config.json, model.safetensors with floating tensors as `dtype`).
  virtual void save(const std::filesystem::path& folder, at::ScalarType dtype) const = 0;
};

// A new one with LibTorch's initial weights. class_name: "DigitClassifier" (the guide), "DigitJudge" or
// "CifarResNet".
// Throws InputError on another name.
std::shared_ptr<ImageClassifier> make_classifier(const std::string& class_name);

// The classifier of a model folder by its _class_name, or of a .safetensors file alone (a CifarResNet, see
// model_class_name), fp32, in eval mode, its weights frozen (gradients still flow to x). weights: "folder" or
// "formula:SEED". Throws InputError.
std::shared_ptr<ImageClassifier> load_classifier(const std::filesystem::path& model, at::Device device, const std::string& weights = "folder");

}  // namespace linden
