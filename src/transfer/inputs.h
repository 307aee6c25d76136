// What a transfer reads before its folder is made: the teacher, and where the training examples come from.
#pragma once

#include <c10/core/Device.h>

#include <memory>

#include "models/video_model.h"
#include "transfer/config.h"

namespace linden {

struct TransferInputs {
  VideoModel teacher;  // on the CPU, fp32
  std::shared_ptr<TrajectorySource> source;
};
// What the trajectories are, after all checks that need no network's memory (it reads the teacher's bytes for its digest).
// Throws ConfigError/InputError: a teacher that is linear already, trajectories of another teacher, guidance or latent shape, damaged ones,
// layers that gates.* names and there are not, a batch larger than what is left to train on, a
// model to compare with that makes other clips.
TrajectoryManifest check_transfer(const TransferConfig& config);
// Throws what check_transfer() does, and InputError: weights or shards that are damaged, a caption that the text encoder cannot read.
TransferInputs prepare_transfer(const TransferConfig& config, at::Device device);

}  // namespace linden
