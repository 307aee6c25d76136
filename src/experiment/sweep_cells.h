// The cells of a sweep: every combination of its axes, each with its whole config, checked before anything runs.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/config.h"
#include "experiment/sweep_config.h"
#include "experiment/sweep_leaves.h"

namespace linden {

// What a sweep knows of the command that it runs.
struct SweepTarget {
  std::string command;                                 // "align", "bench sampler"
  std::function<std::unique_ptr<ConfigRef>()> config;  // its defaults
  bool can_resume = false;                             // it takes --resume
};

// The resolved base config of a file as the sweep names it.
using BaseConfigs = std::function<std::unique_ptr<ConfigRef>(const std::string& file)>;

struct SweepCell {
  std::string name;                                         // "nfe=500,seed=1": a folder's name
  std::string hash;                                         // of what runs, not of where (output, device, threads)
  std::vector<std::pair<std::string, std::string>> values;  // axis key -> label
  std::string base;                                         // its base config, as the sweep names it
  std::shared_ptr<ConfigRef> config;
  std::vector<ConfigLeaf> leaves;  // of config, and "config": the base
  double nfe() const;              // the config's budget; NaN if it has none
};

struct SweepCells {
  std::vector<SweepCell> cells;       // in the order of the grid, the first axis slowest
  std::vector<std::string> warnings;  // conditions that match no cell
};

// Throws ConfigError, always with the sweep's file: a cell whose config the command refuses (unknown key, wrong type, out
// of range), two cells of one name or of one config, a condition on a key that no cell has, no cell at all.
SweepCells expand_cells(const SweepConfig& config, const SweepTarget& target, const BaseConfigs& base);

// Keys that say where a cell runs: left out of hashes, unless they are an axis.
std::vector<std::string> where_keys(const SweepConfig& config);

}  // namespace linden
