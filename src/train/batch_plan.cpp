#include "train/batch_plan.h"

#include <ATen/ATen.h>

#include "core/error.h"
#include "core/random.h"

namespace linden {
namespace {

constexpr int64_t kBlock = 64;        // steps
constexpr uint32_t kShiftStream = 1;  // step of a Purpose::kData stream; 0 belongs to the permutations
constexpr uint32_t kFlipStream = 2;
constexpr uint32_t kDropStream = 3;

}  // namespace

BatchPlan::BatchPlan(const BatchPlanConfig& config, at::Device device) : config_(config), device_(device) {
  check(config.batch_size >= 1 && config.batch_size <= config.num_examples, "BatchPlan: batch_size is {} for {} examples", config.batch_size,
        config.num_examples);
  rows_ = at::arange(config.batch_size, at::dtype(at::kLong).device(device));
}

at::Tensor BatchPlan::draw_flags(int64_t block, uint32_t stream_number, const std::function<bool(RandomStream&)>& draw) const {
  const at::Tensor flags = at::empty({kBlock, config_.batch_size}, at::kBool);
  bool* flag = flags.data_ptr<bool>();
  for (int64_t i = 0; i < kBlock; ++i) {
    RandomStream stream(config_.seed, Purpose::kData, static_cast<uint64_t>(block * kBlock + i), stream_number);
    for (int64_t b = 0; b < config_.batch_size; ++b) *flag++ = draw(stream);
  }
  return flags;
}

void BatchPlan::draw_block(int64_t block) {
  const int64_t batch = config_.batch_size;
  const at::Tensor examples = at::empty({kBlock, batch}, at::kLong), timesteps = at::empty({kBlock, batch}, at::kLong);
  const at::Tensor shifts = at::zeros({kBlock, batch, 2}, at::kLong), steps = at::empty({kBlock, batch}, at::kLong);
  int64_t* example = examples.data_ptr<int64_t>();
  int64_t* timestep = timesteps.data_ptr<int64_t>();
  int64_t* shift = shifts.data_ptr<int64_t>();
  for (int64_t i = 0; i < kBlock; ++i) {
    const int64_t step = block * kBlock + i, epoch = step / steps_per_epoch(), first = step % steps_per_epoch() * batch;
    if (epoch != epoch_) {
      order_ = permutation(config_.seed, Purpose::kData, static_cast<uint64_t>(epoch), config_.num_examples);
      epoch_ = epoch;
    }
    RandomStream timestep_stream(config_.seed, Purpose::kTimestep, static_cast<uint64_t>(step));
    RandomStream shift_stream(config_.seed, Purpose::kData, static_cast<uint64_t>(step), kShiftStream);
    for (int64_t b = 0; b < batch; ++b) {
      *example++ = order_[static_cast<size_t>(first + b)];
      *timestep++ = static_cast<int64_t>(timestep_stream.below(static_cast<uint64_t>(config_.num_timesteps)));
      for (int axis = 0; axis < 2; ++axis, ++shift)
        if (config_.max_shift > 0) *shift = static_cast<int64_t>(shift_stream.below(2 * static_cast<uint64_t>(config_.max_shift) + 1)) - config_.max_shift;
    }
    steps[i].fill_(step);
  }
  examples_ = examples.to(device_);
  timesteps_ = timesteps.to(device_);
  shifts_ = shifts.to(device_);
  if (config_.horizontal_flips) flips_ = draw_flags(block, kFlipStream, [](RandomStream& stream) { return stream.below(2) == 1; }).to(device_);
  if (config_.caption_dropout > 0)
    drops_ = draw_flags(block, kDropStream, [&](RandomStream& stream) { return stream.uniform() < config_.caption_dropout; }).to(device_);
  steps_ = steps.to(device_);
  block_ = block;
}

StepDraw BatchPlan::at(int64_t step) {
  check(step >= 1, "BatchPlan::at: step is {}, steps count from 1", step);
  const int64_t block = (step - 1) / kBlock, i = (step - 1) % kBlock;
  if (block != block_) draw_block(block);
  return {examples_[i], timesteps_[i], shifts_[i], flips_.defined() ? flips_[i] : at::Tensor(), rows_, steps_[i], drops_.defined() ? drops_[i] : at::Tensor()};
}

void BatchPlan::read(int64_t step, StepDraw& draw) {
  const StepDraw next = at(step);
  const auto copy = [](at::Tensor& to, const at::Tensor& from) {
    if (!from.defined()) return;
    if (to.defined()) to.copy_(from);
    else to = from.clone();
  };
  copy(draw.examples, next.examples);
  copy(draw.timesteps, next.timesteps);
  copy(draw.shifts, next.shifts);
  copy(draw.flips, next.flips);
  copy(draw.rows, next.rows);
  copy(draw.steps, next.steps);
  copy(draw.drops, next.drops);
}

}  // namespace linden
