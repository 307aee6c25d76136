// The CIFAR-10 ResNets of He et al. 2016 (section 4.2): a 3x3 convolution, three stages of (depth - 2) / 6 residual blocks with
// 16, 32 and 64 channels at 32x32, 16x16 and 8x8, the mean over pixels, one linear layer. Shortcuts between stages have no
// parameters (option A): every second pixel, zeros for the new channels.
// Names and arithmetic as akamaster/pytorch_resnet_cifar10 `resnet.py`, whose published weights read as they are. For use, not
// for training: batch norm always takes its stored mean and variance.
#pragma once

#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>

#include "core/config.h"
#include "io/safetensors.h"
#include "models/image_classifier.h"
#include "models/model_folder.h"

namespace linden {

struct CifarResNetConfig {
  static constexpr const char* kClassName = "CifarResNet";
  static NullableKeys nullable_keys() { return {}; }
  int64_t depth = 20;  // 6 n + 2
  int64_t num_classes = 10;
};
void visit_fields(FieldVisitor& v, CifarResNetConfig& c);

// Batch norm with fixed statistics: weight (x - mean) / sqrt(var + 1e-5) + bias a channel.
class FixedBatchNormImpl : public torch::nn::Module {
 public:
  explicit FixedBatchNormImpl(int64_t channels);
  at::Tensor forward(const at::Tensor& x);  // [B, C, Y, X]

 private:
  at::Tensor weight, bias, running_mean, running_var;  // [C]
};
TORCH_MODULE(FixedBatchNorm);

class CifarResNetImpl : public torch::nn::Module, public ImageClassifier {
 public:
  explicit CifarResNetImpl(const CifarResNetConfig& config);
  at::Tensor logits(const at::Tensor& x) override;    // x: [B, 3, 32, 32]
  at::Tensor features(const at::Tensor& x) override;  // [B, 64]
  torch::nn::Module& module() override { return *this; }
  int64_t in_channels() const override { return 3; }
  int64_t num_classes() const override { return config_.num_classes; }
  int64_t num_features() const override;
  void save(const std::filesystem::path& folder, at::ScalarType dtype) const override;

 private:
  CifarResNetConfig config_;
  torch::nn::Conv2d conv1{nullptr};
  FixedBatchNorm bn1{nullptr};
  torch::nn::Sequential layer1{nullptr}, layer2{nullptr}, layer3{nullptr};
  torch::nn::Linear linear{nullptr};
};

// The config that fits a set of weights: depth and classes from names and shapes. InputError (`origin` names the weights):
// they are not of this network.
CifarResNetConfig cifar_resnet_config(const NamedTensors& weights, const std::string& origin);

}  // namespace linden
