// `linden transfer` from beginning to end: the loop, the finished student's clips beside the teacher's, the report.
#pragma once

#include <string>

#include "core/run_directory.h"
#include "evaluate/clip_metrics.h"
#include "transfer/config.h"
#include "transfer/loop.h"

namespace linden {

struct TransferRunConfig {
  TransferConfig transfer;      // its keys stand at the top level
  ClipJudgeConfig clips;        // with a judge: clips of the student, and of the teacher, are measured at the end
  bool measure_teacher = true;  // its clips too
  int64_t num_clips = 800;      // of each
  int64_t clip_batch = 400;
};
void visit_fields(FieldVisitor& v, TransferRunConfig& c);

// Memory, work and size of a run, for --dry-run. Reads the teacher's config and the manifest of the trajectories, where they are there.
std::string transfer_cost_table(const TransferConfig& config);

void run_transfer(TransferRunConfig config, const RunOptions& options);

}  // namespace linden
