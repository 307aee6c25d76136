#include "transfer/critic.h"

#include <ATen/core/grad_mode.h>
#include <torch/nn/module.h>

#include "transfer/networks.h"

namespace linden {
namespace {

constexpr uint64_t kCriticSeed = 0x9e3779b97f4a7c15;  // its draws differ from the student's

VideoDit on_device(VideoDit network, at::Device device) {
  network->to(device, at::kFloat);
  return network;
}

}  // namespace

Critic::Critic(const TransferConfig& config, VideoDit start, ExampleFeedConfig feed, const std::shared_ptr<TrajectorySource>& source,
               const CaptionBatch& prompts, at::Device device)
    : network(on_device(start, device)),
      weights(network.ptr()),
      optimizer(config.critic.optimizer, weights.values),
      learning_rate_(config.critic.optimizer.learning_rate) {
  feed.seed ^= kCriticSeed;
  feed.needs_noise = true;
  for (int64_t i = 0; i < config.critic.steps; ++i) feeds.emplace_back(feed, source, prompts, device);
}

void Critic::begin_step(int64_t step) {
  const auto own = static_cast<int64_t>(feeds.size());
  for (int64_t i = 0; i < own; ++i) feeds[static_cast<size_t>(i)].fill((step - 1) * own + i + 1, step);
  optimizer.begin_step((step - 1) * own, learning_rate_);
}

void Critic::apply_gradients(double gradient_clip) {
  const at::NoGradGuard no_grad;
  clip_gradient_norm(weights.gradients, gradient_clip);
  optimizer.next_step();
  optimizer.apply(weights.values, weights.gradients);
}

}  // namespace linden
