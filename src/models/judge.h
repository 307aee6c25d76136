// The digit classifier that judges and never guides: built, seeded and trained apart from the guide, so that a
// sample which merely fools the guide does not fool it too. Five 3x3 convolutions, three of them of stride 2, each
// with group norm and SiLU; the mean over pixels; one linear layer. 70 k parameters.
#pragma once

#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>

#include <vector>

#include "models/classifier_config.h"
#include "models/image_classifier.h"

namespace linden {

class DigitJudgeImpl : public torch::nn::Module, public ImageClassifier {
 public:
  explicit DigitJudgeImpl(const DigitJudgeConfig& config);
  at::Tensor logits(const at::Tensor& x) override;
  at::Tensor features(const at::Tensor& x) override;  // [B, channels.back()]
  torch::nn::Module& module() override { return *this; }
  int64_t in_channels() const override { return config_.in_channels; }
  int64_t num_classes() const override { return config_.num_classes; }
  int64_t num_features() const override { return config_.channels.back(); }
  void save(const std::filesystem::path& folder, at::ScalarType dtype) const override;

 private:
  DigitJudgeConfig config_;
  std::vector<torch::nn::Conv2d> convs;
  std::vector<torch::nn::GroupNorm> norms;
  torch::nn::Linear linear{nullptr};
};

}  // namespace linden
