#include "transfer/warm_start.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "core/error.h"
#include "core/logging.h"
#include "core/progress.h"
#include "train/autocast.h"

namespace linden {

std::vector<double> warm_start(const WarmStartConfig& config, const std::string& precision, VideoDit student, FlatParameters& weights,
                               const std::vector<int64_t>& layers, const std::function<WarmStartBatch(int64_t)>& draw) {
  std::vector<SelfAttention> mixers;
  for (const int64_t layer : layers) mixers.push_back(student->blocks()[static_cast<size_t>(layer)]->self_attention());
  for (SelfAttention& mixer : mixers) mixer->match_outputs(true);
  AdamW optimizer({.learning_rate = config.learning_rate, .weight_decay = 0}, weights.values);
  std::vector<double> errors;
  Progress progress("warm start", config.steps, "step");
  for (int64_t step = 1; step <= config.steps; ++step) {
    const WarmStartBatch batch = draw(step);
    weights.gradients.zero_();
    std::vector<at::Tensor> losses;
    {
      const Bf16Scope bf16(precision == "bf16", weights.values.device());
      velocity_of(student, batch.captions, nullptr)(batch.x, batch.sigma);
      for (SelfAttention& mixer : mixers) losses.push_back(mixer->take_output_error());
      at::stack(losses).sum().backward();
    }
    const at::NoGradGuard no_grad;
    optimizer.step(weights.values, weights.gradients, step, config.learning_rate);
    if (step == config.steps) {
      const at::Tensor last = at::stack(losses).detach().to(at::kCPU, at::kDouble);
      errors.assign(last.data_ptr<double>(), last.data_ptr<double>() + last.numel());
    }
    progress.update(step);
    if (interrupt_requested()) throw Interrupted("warm start: nothing is saved before the first step");
  }
  progress.finish();
  for (SelfAttention& mixer : mixers) mixer->match_outputs(false);
  weights.gradients.zero_();
  return errors;
}

std::vector<double> single_layer_gaps(VideoDit student, const std::vector<int64_t>& layers, const std::function<double()>& gap) {
  const auto mixer = [&](int64_t layer) -> SelfAttention& { return student->blocks()[static_cast<size_t>(layer)]->self_attention(); };
  for (const int64_t layer : layers) mixer(layer)->run_as(AttentionKind::kSoftmax);
  std::vector<double> gaps;
  for (const int64_t layer : layers) {
    if (interrupt_requested()) throw Interrupted("interrupted while single layers were measured: nothing is saved before the first step");
    mixer(layer)->run_as(AttentionKind::kLinear);
    gaps.push_back(gap());
    mixer(layer)->run_as(AttentionKind::kSoftmax);
  }
  return gaps;
}

}  // namespace linden
