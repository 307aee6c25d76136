// The loop of `linden transfer`: selective transfer of softmax attention to linear attention (LinVideo, arXiv 2510.08318), without data.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "core/run_directory.h"
#include "transfer/inputs.h"

namespace linden {

// What a transfer says of itself at its end.
struct TransferResult {
  int64_t steps = 0, examples_seen = 0;
  int64_t num_layers = 0, num_linear = 0;
  std::vector<int64_t> linear_layers;                  // from 0
  double gap_at_start = 0;                             // velocity gap at the held-out points, after the warm start: 0 while gates are at 1
  double gap_before_commit = 0, gap_after_commit = 0;  // before: NaN where the layers were fixed from the start
  double gap = 0;                                      // of the finished student (averaged weights)
  double commit_distance = 0;                          // mean distance of r to {0, 1} at the commit; NaN likewise
  double final_loss = 0;
  double training_seconds = 0;  // of this part of the run
  double tokens_per_second = 0;
  double peak_gb = 0;         // most device memory in use in this part of the run; 0: not known (CPU)
  int64_t network_calls = 0;  // forward passes a step and example, those with gradient counted three times
};
void visit_fields(FieldVisitor& v, TransferResult& r);

// Trains, or goes on where the run's newest state stands; leaves step_N/, layers.csv, bins.csv, messages.csv, strips, block_errors.csv and the finished
// model folder model/ (averaged weights, attention kinds, no gates) in the run's folder. A step is a pure function of (seed, step, the
// state before it): on a CPU a resumed run equals an uninterrupted one bit for bit.
// Throws InputError where a saved state is damaged; Interrupted after SIGINT/SIGTERM, the state saved; std::runtime_error when a detector stops
// the run.
TransferResult transfer(const TransferConfig& config, TransferInputs inputs, RunDirectory& run, at::Device device);

}  // namespace linden
