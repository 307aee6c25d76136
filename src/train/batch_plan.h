// What each training step sees: a pure function of (seed, step), so that a resumed run goes on with the
// very numbers that an uninterrupted one would have drawn.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <vector>

namespace linden {

class RandomStream;

struct BatchPlanConfig {
  uint64_t seed = 0;
  int64_t num_examples = 0, batch_size = 0;
  int64_t num_timesteps = 1;  // T; timesteps are uniform on 0 .. T-1
  int64_t max_shift = 0;      // shifts are uniform on -max_shift .. max_shift
  bool horizontal_flips = false;
  double caption_dropout = 0;  // share of the captions that are left out
};

// Of one step, on the device.
struct StepDraw {
  at::Tensor examples;     // [B] int64: rows of the training set; every epoch is one permutation, its rest is dropped
  at::Tensor timesteps;    // [B] int64
  at::Tensor shifts;       // [B, 2] int64: rows, columns
  at::Tensor flips;        // [B] bool: left and right are exchanged; undefined without horizontal_flips
  at::Tensor rows, steps;  // [B] int64: 0 .. B-1, and the step: index and step of the noise streams
  at::Tensor drops;        // [B] bool: the caption is left out; undefined without caption_dropout
};

// Draws are made for a block of steps at a time and copied to the device once.
class BatchPlan {
 public:
  BatchPlan(const BatchPlanConfig& config, at::Device device);
  StepDraw at(int64_t step);  // 1, 2, ...
  // The same into `draw`, whose tensors are made by the first call and written over by the next ones.
  void read(int64_t step, StepDraw& draw);
  int64_t steps_per_epoch() const { return config_.num_examples / config_.batch_size; }

 private:
  void draw_block(int64_t block);
  at::Tensor draw_flags(int64_t block, uint32_t stream, const std::function<bool(RandomStream&)>& draw) const;  // [kBlock, B] bool

  BatchPlanConfig config_;
  at::Device device_;
  int64_t block_ = -1, epoch_ = -1;
  std::vector<int64_t> order_;                                               // of epoch_
  at::Tensor examples_, timesteps_, shifts_, flips_, rows_, steps_, drops_;  // [kBlock, B], ...
};

}  // namespace linden
