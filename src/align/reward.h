// Rewards of finished samples.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "align/reward_config.h"
#include "data/moving_digits.h"
#include "models/prior.h"

namespace linden {

class Reward {
 public:
  virtual ~Reward() = default;
  // samples: [B, ...] finished states on the denoiser's device. Returns [B] fp64 on the CPU.
  // May hold NaN: the search says which node and sample, and saves the tree first.
  virtual at::Tensor evaluate(const at::Tensor& samples) = 0;
  virtual std::string description() const = 0;  // "log p(digit 3 | x), DigitClassifier"
  // The exact root value log E_p[exp(lambda r)] / lambda, where it is known in closed form.
  virtual std::optional<double> exact_root_value(double lambda) const {
    (void)lambda;
    return std::nullopt;
  }
};

// Throws InputError: a class that the classifier lacks, a mixture reward without a mixture prior, no class named.
std::unique_ptr<Reward> make_reward(const RewardConfig& config, const PriorConfig& prior, at::Device device);

// The classes a classifier reward asks for; empty for other rewards.
std::vector<int64_t> asked_classes(const RewardConfig& config);
// What a clip reward asks for; nullopt for other rewards.
std::optional<ClipLabel> asked_clip(const RewardConfig& config, const PriorConfig& prior);

}  // namespace linden
