// The numbers of a transfer that a saved state keeps beside train/state.h's.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/config.h"
#include "transfer/detectors.h"
#include "transfer/probes.h"

namespace linden {

struct TransferProgress {
  bool committed = false;
  std::vector<int64_t> linear_layers;  // once committed
  double gap_at_start = 0, gap_before_commit = 0, gap_after_commit = 0, commit_distance = 0;
  std::vector<double> pending_errors;  // velocity errors of the steps since the last row of metrics.csv
  double training_seconds = 0;         // of all parts of the run until this state
  std::string sources;                 // digests of the teacher and the prompts: a resumed run must have the same
  BinnedMeanState bins;
  DetectorState detectors;
};
void visit_fields(FieldVisitor& v, TransferProgress& p);

}  // namespace linden
