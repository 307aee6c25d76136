// The points that a transfer never trains on, and how far the student is from its teacher at them.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include "transfer/config.h"
#include "transfer/networks.h"
#include "transfer/trajectory_source.h"

namespace linden {

class HeldOut {
 public:
  // config.num_points pairs of the source's last config.num_held_out trajectories, spread over the levels. prompts: of all its prompts.
  HeldOut(const TransferConfig& config, TrajectorySource& source, const CaptionBatch& prompts, at::Device device);
  // Mean over the points of |student - teacher|^2 / |teacher|^2, in the run's precision.
  double gap(VideoDit student, VideoDit teacher) const;

 private:
  bool bf16_;
  at::Device device_;
  at::Tensor x_, sigma_;  // [P, C, F, Y, X], [P]
  CaptionBatch captions_;
};

}  // namespace linden
