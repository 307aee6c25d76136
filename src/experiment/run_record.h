// Run folders as a report sees them: what was asked (config.json) and what came out (summary.json),
// without the types of either.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/config.h"

namespace linden {

class RunRecord {
 public:
  // A run that a detector of `linden transfer` stopped has no summary.json and counts as one with the number "stopped_at_step".
  // InputError: config.json or summary.json is missing, broken, or summary.json does not name its command.
  RunRecord(const std::filesystem::path& folder, std::string name);

  const std::filesystem::path& folder() const { return folder_; }
  const std::string& name() const { return name_; }  // relative to the folder that was searched
  const std::string& command() const { return command_; }
  const std::string& stopped() const { return stopped_; }  // what the detector said that stopped the run; "": it finished
  // What was asked for: the config's value of a key ("method.type"), else the summary's; "" if neither has it.
  // The key "run" is the run's name.
  std::string text(const std::string& key) const;
  bool has(const std::string& key) const;
  // What came out: the summary's number of that name, else the config's; NaN if there is none. Metrics on
  // features are found under the name that metric_key() gives them.
  double number(const std::string& key) const;
  const std::vector<JsonScalar>& config() const { return config_; }
  // Names of the numbers in summary.json, in file order.
  std::vector<std::string> metrics() const;

 private:
  std::filesystem::path folder_;
  std::string name_, command_, stopped_;
  std::vector<JsonScalar> config_, summary_;
};

// A folder that looks like a run and cannot be reported.
struct BrokenRun {
  std::string name, reason;
};

struct RunCollection {
  std::vector<RunRecord> runs;  // sorted by folder
  std::vector<BrokenRun> broken;
};

// Every run under `roots`, found recursively by config.json + summary.json. A folder with command.json
// and no summary.json is an unfinished run and is listed as broken. Folders of `linden sweep` and
// `linden report` themselves are passed over. InputError: a root that is missing, or no run at all.
RunCollection collect_runs(const std::vector<std::filesystem::path>& roots);

}  // namespace linden
