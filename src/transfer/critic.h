// The network that learns the student's distribution for DMD and for a trained score, with its optimiser and its own draws.
#pragma once

#include <memory>
#include <vector>

#include "train/adamw.h"
#include "train/flat_parameters.h"
#include "transfer/config.h"
#include "transfer/example_feed.h"

namespace linden {

struct Critic {
  // Starts as `start`, on the device. `feed` is the student's but for its seed.
  Critic(const TransferConfig& config, VideoDit start, ExampleFeedConfig feed, const std::shared_ptr<TrajectorySource>& source, const CaptionBatch& prompts,
         at::Device device);
  void begin_step(int64_t step);               // of the student: fills `feeds`, sets the learning rate
  void apply_gradients(double gradient_clip);  // of one step of its own

  VideoDit network;
  FlatParameters weights;
  AdamW optimizer;
  std::vector<ExampleFeed> feeds;  // one for each of its steps in a step of the student

 private:
  double learning_rate_;
};

}  // namespace linden
