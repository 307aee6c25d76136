#include "transfer/stage_clock.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "core/device_memory.h"

namespace linden {

void StageClock::run(const std::string& stage, const std::function<void()>& body) {
  if (!on_) return body();
  synchronize(device_);
  const auto start = std::chrono::steady_clock::now();
  body();
  synchronize(device_);
  const double ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  const auto known = std::ranges::find(stages_, stage, &StageTimes::value_type::first);
  if (known != stages_.end()) known->second += ms;
  else stages_.emplace_back(stage, ms);
}

StageLog::StageLog(const std::filesystem::path& run_folder) : rows_(run_folder / "stages.csv", "step,stage,ms,allocated_gb,peak_gb") {}

void StageLog::add(int64_t step, const StageTimes& stages, at::Device device) {
  const DeviceMemory memory = device_memory(device);
  std::string lines;
  for (const auto& [stage, ms] : stages) lines += fmt::format("{},{},{:.3f},{:.4f},{:.4f}\n", step, stage, ms, 1e-9 * memory.allocated, 1e-9 * memory.peak);
  rows_.append(lines);
}

}  // namespace linden
