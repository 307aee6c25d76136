// What the parts of a training step cost: stages.csv of a run with time_stages.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "transfer/layer_log.h"

namespace linden {

using StageTimes = std::vector<std::pair<std::string, double>>;  // stage, ms

// Times of named stages, the device waited for before and after each, so they add up to the step, which is a little slower for it.
// A stage that comes several times in a step is summed; one inside another counts for both.
class StageClock {
 public:
  // off: `run` calls through.
  StageClock(bool on, at::Device device) : on_(on), device_(device) {}
  void run(const std::string& stage, const std::function<void()>& body);
  // Those since the last call, in the order in which they first ended.
  StageTimes take() { return std::exchange(stages_, {}); }
  bool on() const { return on_; }

 private:
  bool on_;
  at::Device device_;
  StageTimes stages_;
};

// stages.csv of a run's folder: step,stage,ms,allocated_gb,peak_gb, a row a stage; memory is that of the process at the step's end,
// the peak since its start (nan on the CPU).
class StageLog {
 public:
  explicit StageLog(const std::filesystem::path& run_folder);
  void add(int64_t step, const StageTimes& stages, at::Device device);
  void cut_after(int64_t step) { rows_.cut_after(step); }  // before a resumed run does later steps again

 private:
  StepRows rows_;
};

}  // namespace linden
