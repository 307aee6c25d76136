#include "align/reward.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "data/clip_reader.h"
#include "models/closed_form.h"
#include "models/image_classifier.h"

namespace linden {
namespace {

at::Tensor to_host(const at::Tensor& reward) { return reward.to(at::kCPU, at::kDouble).contiguous(); }

class ClassifierReward final : public Reward {
 public:
  ClassifierReward(std::shared_ptr<ImageClassifier> classifier, std::vector<int64_t> classes, const std::string& folder)
      : classifier_(std::move(classifier)),
        classes_(std::move(classes)) {
    description_ = fmt::format("log p({} {} | x), {}", classes_.size() == 1 ? "class" : "best of classes", fmt::join(classes_, ", "), folder);
  }
  at::Tensor evaluate(const at::Tensor& samples) override {
    const at::NoGradGuard no_grad;
    const at::Tensor log_probability = classifier_->logits(samples).log_softmax(1);
    const at::Tensor index = at::tensor(classes_, at::kLong).to(samples.device());
    return to_host(log_probability.index_select(1, index).amax(1));
  }
  std::string description() const override { return description_; }

 private:
  std::shared_ptr<ImageClassifier> classifier_;
  std::vector<int64_t> classes_;
  std::string description_;
};

class RingMixtureReward final : public Reward {
 public:
  RingMixtureReward(MixtureModes modes, std::vector<double> weights, bool exact) : reward_(std::move(modes), std::move(weights)), exact_(exact) {}
  at::Tensor evaluate(const at::Tensor& samples) override { return to_host(reward_(samples.to(at::kCPU, at::kDouble))); }
  std::string description() const override { return "log ratio of re-weighted to equal modes"; }
  std::optional<double> exact_root_value(double lambda) const override { return exact_ && lambda == 1.0 ? std::optional(reward_.root_value()) : std::nullopt; }

 private:
  MixtureReward reward_;
  bool exact_;
};

class SquaredNormReward final : public Reward {
 public:
  SquaredNormReward(double scale, bool checkerboard) : scale_(scale), checkerboard_(checkerboard) {}
  at::Tensor evaluate(const at::Tensor& samples) override { return to_host(scale_ * samples.to(at::kDouble).flatten(1).square().sum(1)); }
  std::string description() const override { return fmt::format("{} |x|^2", scale_); }
  std::optional<double> exact_root_value(double lambda) const override {
    return checkerboard_ && scale_ == -0.5 && lambda == 1.0 ? std::optional(CheckerboardReward().root_value()) : std::nullopt;
  }

 private:
  double scale_;
  bool checkerboard_;
};

class ClipReward final : public Reward {
 public:
  ClipReward(const std::string& folder, const ClipLabel& label, at::Device device)
      : guide_(load_clip_guide(folder, MovingDigitsConfig{}, device)),
        label_(label),
        description_(fmt::format("log p({} | clip), {}", clip_caption(label.digit, label.motion), folder)) {}
  at::Tensor evaluate(const at::Tensor& samples) override {
    const ClipReading reading = guide_->read(samples);
    return to_host(reading.digit_log_prob.select(1, label_.digit) - reading.path_error.select(1, label_.motion));
  }
  std::string description() const override { return description_; }

 private:
  std::unique_ptr<ClipReader> guide_;
  ClipLabel label_;
  std::string description_;
};

bool is_video(const PriorConfig& prior) { return std::holds_alternative<VideoPriorConfig>(prior); }

std::unique_ptr<Reward> build(const ClipRewardConfig& config, const PriorConfig& prior, at::Device device) {
  if (!is_video(prior))
    throw ConfigError(fmt::format("reward clip reads videos, but a prior of type {} makes none: use prior.type video",
                                  std::visit([](const auto& p) { return p.kType; }, prior)));
  return std::make_unique<ClipReward>(config.folder, *asked_clip(config, prior), device);
}

std::unique_ptr<Reward> build(const ClassifierRewardConfig& config, const PriorConfig& prior, at::Device device) {
  const std::vector<int64_t> classes = asked_classes(config);
  if (!std::holds_alternative<UNet2DPriorConfig>(prior))
    throw ConfigError(fmt::format("reward classifier reads images, but a prior of type {} makes {}: use prior.type unet2d, or {}",
                                  std::visit([](const auto& p) { return p.kType; }, prior), is_video(prior) ? "videos" : "2-D points",
                                  is_video(prior) ? "reward.type clip" : "another reward.type"));
  auto classifier = load_classifier(config.folder, device);
  for (int64_t c : classes)
    if (c >= classifier->num_classes())
      throw ConfigError(fmt::format("reward asks for class {}, but the classifier in {} has {} classes (allowed 0..{})", c, config.folder,
                                    classifier->num_classes(), classifier->num_classes() - 1));
  return std::make_unique<ClassifierReward>(std::move(classifier), classes, config.folder);
}

std::unique_ptr<Reward> build(const MixtureRewardConfig& config, const PriorConfig& prior, at::Device) {
  const auto* mixture = std::get_if<GaussianMixturePriorConfig>(&prior);
  if (mixture && (mixture->num_modes != config.num_modes || mixture->radius != config.radius || mixture->sigma != config.sigma))
    throw ConfigError(fmt::format("reward mixture_log_ratio has {} modes, radius {}, sigma {}, but prior gaussian_mixture has {}, {}, {}: make them equal",
                                  config.num_modes, config.radius, config.sigma, mixture->num_modes, mixture->radius, mixture->sigma));
  if (std::holds_alternative<UNet2DPriorConfig>(prior) || std::holds_alternative<CheckerboardPriorConfig>(prior) || is_video(prior))
    throw ConfigError("reward mixture_log_ratio needs a prior of 2-D mixture points: gaussian_mixture, or mlp trained on it");
  std::vector<double> weights;
  for (int64_t i = 1; i <= config.num_modes; ++i) weights.push_back(std::exp(config.growth * static_cast<double>(i)));
  return std::make_unique<RingMixtureReward>(ring_of_modes(config.num_modes, config.radius, config.sigma), weights, mixture != nullptr);
}

std::unique_ptr<Reward> build(const SquaredNormRewardConfig& config, const PriorConfig& prior, at::Device) {
  return std::make_unique<SquaredNormReward>(config.scale, std::holds_alternative<CheckerboardPriorConfig>(prior));
}

}  // namespace

std::vector<int64_t> asked_classes(const RewardConfig& config) {
  const auto* classifier = std::get_if<ClassifierRewardConfig>(&config);
  if (!classifier) return {};
  if (classifier->digit >= 0 && !classifier->digits.empty()) throw ConfigError("reward names both digit and digits: keep one");
  std::vector<int64_t> classes = classifier->digits;
  if (classifier->digit >= 0) classes = {classifier->digit};
  if (classes.empty()) throw ConfigError("reward classifier names no class: set reward.digit, or reward.digits to a list");
  return classes;
}

std::optional<ClipLabel> asked_clip(const RewardConfig& config, const PriorConfig& prior) {
  const auto* clip = std::get_if<ClipRewardConfig>(&config);
  if (!clip) return std::nullopt;
  const auto* video = std::get_if<VideoPriorConfig>(&prior);
  const bool own = !clip->caption.empty() || !video;
  const std::string& caption = own ? clip->caption : video->caption;
  if (caption.empty())
    throw ConfigError(fmt::format("reward clip asks for nothing: reward.caption and prior.caption are both empty; set reward.caption, for example to \"{}\"",
                                  clip_caption(3, 5)));
  try {
    return clip_label(caption);
  } catch (const InputError& error) {
    throw ConfigError(fmt::format("{}: {}", own ? "reward.caption" : "reward.caption is empty, so prior.caption is asked for", error.what()));
  }
}

std::unique_ptr<Reward> make_reward(const RewardConfig& config, const PriorConfig& prior, at::Device device) {
  return std::visit([&](const auto& c) { return build(c, prior, device); }, config);
}

}  // namespace linden
