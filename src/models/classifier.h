// The digit classifier that guides: conv 5x5 -> ReLU -> max-pool 2, twice (16 and 32 channels), then one linear
// layer. Diffusion Tree Sampling (Jain et al. 2025), appendix F.2; there padding and input size are not said:
// here padding 2 and 32 x 32.
#pragma once

#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>

#include "models/classifier_config.h"
#include "models/image_classifier.h"

namespace linden {

class DigitClassifierImpl : public torch::nn::Module, public ImageClassifier {
 public:
  explicit DigitClassifierImpl(const DigitClassifierConfig& config);
  at::Tensor logits(const at::Tensor& x) override;
  at::Tensor features(const at::Tensor& x) override;  // [B, 32 (Y/4) (X/4)]
  torch::nn::Module& module() override { return *this; }
  int64_t in_channels() const override { return config_.in_channels; }
  int64_t num_classes() const override { return config_.num_classes; }
  int64_t num_features() const override { return linear->options.in_features(); }
  void save(const std::filesystem::path& folder, at::ScalarType dtype) const override;

 private:
  DigitClassifierConfig config_;
  torch::nn::Conv2d conv1{nullptr}, conv2{nullptr};
  torch::nn::Linear linear{nullptr};
};

}  // namespace linden
