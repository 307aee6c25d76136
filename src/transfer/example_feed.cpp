#include "transfer/example_feed.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "ops/philox_normal.h"
#include "train/objective.h"

namespace linden {
namespace {

BatchPlanConfig plan_of(const ExampleFeedConfig& c) {
  BatchPlanConfig plan;
  plan.seed = c.seed;
  plan.num_examples = c.num_pairs;
  plan.batch_size = c.batch_size;
  plan.num_timesteps = kFlowTimesteps;
  plan.caption_dropout = c.caption_dropout;
  return plan;
}

void put(at::Tensor& buffer, const at::Tensor& value) {
  if (!value.defined()) return;
  if (buffer.defined()) buffer.copy_(value);
  else buffer = value.clone();
}

at::Tensor part_of(const at::Tensor& all, int64_t part, int64_t parts) {
  if (!all.defined()) return {};
  const int64_t rows = all.size(0) / parts;
  return all.narrow(0, part * rows, rows);
}

}  // namespace

ExampleFeed::ExampleFeed(const ExampleFeedConfig& config, std::shared_ptr<TrajectorySource> source, const CaptionBatch& prompts, at::Device device)
    : config_(config),
      source_(std::move(source)),
      prompts_(prompts),
      plan_(plan_of(config), device) {}

void ExampleFeed::fill(int64_t turn, int64_t step) {
  const at::NoGradGuard no_grad;
  rows_ = plan_.at(turn);
  source_->prepare(step - 1);
  const TrajectoryBatch batch = source_->batch(rows_.examples, step - 1);
  put(draw_.x, batch.x);
  put(draw_.sigma, batch.sigma);
  put(draw_.next_sigma, batch.next_sigma);
  put(draw_.velocity, batch.velocity);
  put(draw_.lower, (rows_.timesteps.to(at::kFloat) + 0.5) / static_cast<double>(kFlowTimesteps));
  if (config_.needs_noise) put(draw_.noise, philox_normal(config_.seed, Purpose::kTrainingNoise, rows_.rows, rows_.steps, batch.x.sizes().slice(1)));
  const at::Tensor text = prompts_.text.index_select(0, batch.prompt);
  put(text_, rows_.drops.defined() ? at::where(rows_.drops.view({-1, 1, 1}), prompts_.none, text) : text);
}

MatchingDraw ExampleFeed::draw(int64_t part, int64_t parts) const {
  return {part_of(draw_.x, part, parts),     part_of(draw_.sigma, part, parts), part_of(draw_.next_sigma, part, parts),
          part_of(draw_.lower, part, parts), part_of(draw_.noise, part, parts), part_of(draw_.velocity, part, parts)};
}

CaptionBatch ExampleFeed::captions(int64_t part, int64_t parts) const { return {part_of(text_, part, parts), prompts_.none}; }

}  // namespace linden
