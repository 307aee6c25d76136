// The file of a sweep: a command, its base config, and what varies (docs/sweeps.md).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace linden {

// A value of an axis: JSON text as `--set` takes it (a base config's file: plain text), and the word that stands for it in
// a cell's name.
struct SweepValue {
  std::string json, label;
};

// One axis of the grid: keys that move together. A plain axis has one key, a zipped one several. The key "config" is
// the base config's file.
struct SweepAxis {
  std::string place;  // "axes.nfe", for messages
  std::vector<std::string> keys;
  std::vector<std::vector<SweepValue>> values;  // [value][key]
};

// Matches a cell whose resolved config has, for every key, one of the values.
struct SweepCondition {
  std::string place;                                                     // "skip[0]", for messages
  std::vector<std::pair<std::string, std::vector<std::string>>> values;  // key -> texts as in ConfigLeaf
};

using SweepAssignments = std::vector<std::pair<std::string, std::string>>;  // key -> JSON text

// What only the cells that match `when` have.
struct SweepConditional {
  SweepCondition when;
  SweepAssignments set;
  std::vector<SweepAxis> axes;
};

struct SweepConfig {
  std::filesystem::path file;  // for messages, and for base configs named beside it
  std::string text;            // the file as it was read
  std::string command;         // "align", "bench sampler"
  std::string config;          // the base config; empty where it is an axis
  SweepAssignments set;
  std::vector<SweepAxis> axes;  // the first varies slowest
  std::vector<SweepConditional> conditional;
  std::vector<SweepCondition> skip;
  int64_t processes = 1;  // cells at once
  int64_t gpus = 0;       // over which they are spread, each seeing one; 0: all see all
  int64_t retries = 0;    // of a cell that failed
  bool stop_on_failure = false;
};

// Throws ConfigError: not an object, an unknown key (with the nearest one), a wrong type, an empty axis, zipped lists of
// unequal length, a key that is given twice.
SweepConfig read_sweep_config(const std::filesystem::path& file);
// Fixed assignments from the command line ("a.b=c"): they replace those of the file. Throws ConfigError for a key that
// is an axis.
void add_assignments(SweepConfig& config, const std::vector<std::string>& assignments);

}  // namespace linden
