// A run's folder: everything a run leaves behind, and what --resume finds.
//
//   config.json        the resolved config; feeding it back gives the same run
//   command.json       subcommand, command line, start times
//   environment.json   commit, versions, card, threads
//   log.txt log.jsonl  a tidy line for people, a JSON line for machines
//   metrics.csv        one row a logged step      events.out.tfevents.*   the same for TensorBoard
//   artefacts of the command (samples.h5, tree.h5, step_N/, *.png, *.svg ...)
//   summary.json       written last: what was run, wall_seconds, the headline numbers by name
//
// A run never writes over another: a folder that holds a config.json is refused unless resumed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/config.h"

namespace linden {

struct RunOptions {
  std::string command;           // "align"
  std::string config_name;       // "digits_dts": the config file's stem
  std::filesystem::path output;  // empty: runs/<config_name>/<NNN>, the next free number
  bool resume = false;           // with an empty output: the newest runs/<config_name>/<NNN>
  std::string command_line;
};

// A second place for metrics, above core in the include order (io/event_sink.h: TensorBoard).
class MetricsSink {
 public:
  virtual ~MetricsSink() = default;
  virtual void scalar(int64_t step, const std::string& name, double value) = 0;
  virtual void image(int64_t step, const std::string& name, const std::filesystem::path& png) = 0;
  virtual void cut_after(int64_t step) = 0;  // forgets what was logged for later steps
  virtual void flush() = 0;
};

class RunDirectory {
 public:
  // Makes or reopens the folder, writes config.json, command.json, environment.json, opens the logs.
  // Resuming: compares `config` with the stored one; a differing key that is not changeable() throws
  // ConfigError naming it with both values. Throws InputError if the folder belongs to another run,
  // cannot be made, or (resume) holds no run.
  RunDirectory(const RunOptions& options, ConfigRef& config);
  ~RunDirectory();
  RunDirectory(const RunDirectory&) = delete;

  const std::filesystem::path& path() const;
  std::filesystem::path file(const std::string& name) const { return path() / name; }
  bool resumed() const;

  // One row: step plus named values. New names add columns (earlier rows stay empty there).
  void log_metrics(int64_t step, const std::vector<std::pair<std::string, double>>& values);
  // Drops rows of metrics.csv (and later events) with step > `step`: called once after a checkpoint was read.
  void cut_metrics_after(int64_t step);
  void add_sink(std::unique_ptr<MetricsSink> sink);
  // A picture for the sinks; `png` is an encoded file.
  void log_image(int64_t step, const std::string& tag, const std::filesystem::path& png);
  // summary.json: `command`, `run`, `wall_seconds` and then the keys of `summary`.
  void write_summary(ConfigRef& summary);
  double wall_seconds() const;  // of all parts of a resumed run together

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace linden
