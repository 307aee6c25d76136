// From a sweep's file and its folder to what is to be done. Writes nothing.
#pragma once

#include <string>
#include <vector>

#include "experiment/sweep_folder.h"
#include "experiment/sweep_run.h"
#include "experiment/sweep_status.h"

namespace linden {

struct SweepPlan {
  SweepManifest frozen;                      // what the folder held before; empty for a new one
  std::vector<SweepCell> cells;              // of the grid
  std::vector<CellProgress> progress;        // of `cells`, in their order, then of cells that are no longer in the grid
  std::vector<bool> attempt_failed_resumed;  // of `cells`: the last attempt resumed and failed: the next begins anew
  std::vector<bool> end_unknown;             // of `cells`: done, though the journal has no end: the sweep was killed first
  std::vector<size_t> to_run;                // into `cells`
  std::vector<std::string> warnings;
};

// Throws InputError (everything that can be found wrong before a cell runs).
SweepPlan plan_sweep(const SweepConfig& config, const SweepTarget& target, const SweepOptions& options, const SweepFolder& folder);

}  // namespace linden
