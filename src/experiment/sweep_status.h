// Where a sweep stands: the status line, status.json, the table at the end, and how long the rest will take.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "core/config.h"

namespace linden {

enum class CellStage { kLeft, kRunning, kDone, kFailed, kInterrupted, kNotInGrid };

struct CellProgress {
  std::string name;
  std::vector<std::pair<std::string, std::string>> values;  // axis key -> label
  double nfe = 0;                                           // its budget; NaN: it has none
  CellStage stage = CellStage::kLeft;
  double seconds = 0;    // done: of all its parts; running: so far
  int64_t attempts = 0;  // starts, in all sweeps over this folder
  std::string detail;    // failed: how
};

// Seconds until every cell is done, from the cells that are: by NFE where all cells have a budget, else every cell alike.
// `processes` run at once and take the cells in their order. NaN while none is done.
double estimate_seconds(const std::vector<CellProgress>& cells, int64_t processes);

struct SweepStatus {
  std::string sweep, state;  // running, done, failed, interrupted, incomplete
  int64_t num_cells = 0, num_done = 0, num_failed = 0, num_running = 0, num_left = 0, num_not_in_grid = 0;
  std::vector<std::string> running, failed;
  double elapsed_seconds = 0, eta_seconds = 0;
};
void visit_fields(FieldVisitor& v, SweepStatus& s);

SweepStatus sweep_status(const std::vector<CellProgress>& cells, int64_t processes, double elapsed_seconds);
// "sweep  12/36 cells done, 2 running, 1 failed  0:41  ETA 1:20"
std::string status_line(const SweepStatus& status);
// Markdown: one row a cell, one column an axis.
std::string sweep_table(const std::string& title, const SweepStatus& status, const std::vector<CellProgress>& cells);

}  // namespace linden
