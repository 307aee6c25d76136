// What each step of a transfer trains on, at fixed addresses: a pure function of (seed, step) and the trajectories.
#pragma once

#include <memory>

#include "train/batch_plan.h"
#include "transfer/matching.h"
#include "transfer/networks.h"
#include "transfer/trajectory_source.h"

namespace linden {

struct ExampleFeedConfig {
  uint64_t seed = 0;
  int64_t batch_size = 0;
  int64_t num_pairs = 0;  // the first so many of the source
  double caption_dropout = 0;
  bool needs_noise = false;
};

class ExampleFeed {
 public:
  // text: [prompts, L, D]; none: [1, L, D]
  ExampleFeed(const ExampleFeedConfig& config, std::shared_ptr<TrajectorySource> source, const CaptionBatch& prompts, at::Device device);
  // Fills the buffers for step 1, 2, ... Rows go by `turn`, which counts on where a step takes several batches.
  void fill(int64_t turn, int64_t step);
  // Part `part` of `parts` equal ones of the batch: views of the buffers.
  MatchingDraw draw(int64_t part, int64_t parts) const;
  CaptionBatch captions(int64_t part, int64_t parts) const;

 private:
  ExampleFeedConfig config_;
  std::shared_ptr<TrajectorySource> source_;
  CaptionBatch prompts_;
  BatchPlan plan_;
  StepDraw rows_;
  MatchingDraw draw_;  // of the whole batch
  at::Tensor text_;    // [B, L, D]
};

}  // namespace linden
