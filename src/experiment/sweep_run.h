// `linden sweep`: every cell once, each a process of its own.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "experiment/sweep_cells.h"

namespace linden {

struct SweepOptions {
  std::filesystem::path output;
  bool resume = false;
  std::string retry;  // name or pattern of the cells to run again; empty: what is missing
  std::string only;   // name or pattern of the cells that may run this time; empty: all
};

// Checks and freezes every cell, then runs what is not done. Throws InputError before anything runs; std::runtime_error
// with the list of cells that failed; Interrupted after the cells at work have saved.
void run_sweep(const SweepConfig& config, const SweepTarget& target, const SweepOptions& options);

// What would run: every cell (of many the first and the last), totals, and the time if some cells are done. Writes nothing.
std::string describe_sweep(const SweepConfig& config, const SweepTarget& target, const SweepOptions& options);

}  // namespace linden
