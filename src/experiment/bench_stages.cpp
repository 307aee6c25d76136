#include "experiment/bench_stages.h"

#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>
#include <chrono>
#include <deque>

#include "core/clock.h"
#include "experiment/bench_clock.h"
#include "nn/stage.h"

namespace linden {
namespace {

// The moments of one pass.
class Marks {
 public:
  explicit Marks(c10::Device device) : device_(device) {}
  void add(std::string_view name) {
    names_.emplace_back(name);
    if (!device_.is_cuda()) {
      times_.push_back(Clock::now());
      return;
    }
    events_.emplace_back(device_.type(), c10::EventFlag::BACKEND_DEFAULT);
    events_.back().record(c10::impl::VirtualGuardImpl(device_.type()).getStream(device_));
  }
  // Sums by name; the last mark ends the pass.
  std::vector<StageTime> stages() {
    if (device_.is_cuda()) events_.back().synchronize();
    std::vector<StageTime> result;
    for (size_t i = 0; i + 1 < names_.size(); ++i) {
      auto found = std::find_if(result.begin(), result.end(), [&](const StageTime& stage) { return stage.name == names_[i]; });
      if (found == result.end()) found = result.insert(result.end(), {names_[i], 0, 0});
      ++found->calls;
      found->ms += between(i);
    }
    return result;
  }

 private:
  double between(size_t i) const {
    if (device_.is_cuda()) return events_[i].elapsedTime(events_[i + 1]);
    return std::chrono::duration<double, std::milli>(times_[i + 1] - times_[i]).count();
  }
  c10::Device device_;
  std::vector<std::string> names_;
  std::deque<c10::Event> events_;
  std::vector<Clock::time_point> times_;
};

std::vector<StageTime> time_pass(c10::Device device, const std::function<void()>& pass) {
  Marks marks(device);
  {
    const StageSession session([&](std::string_view stage) { marks.add(stage); });
    pass();
  }
  marks.add("end");
  return marks.stages();
}

}  // namespace

std::vector<StageTime> time_stages(c10::Device device, const std::function<void()>& pass, int64_t passes) {
  std::vector<StageTime> result = time_pass(device, pass);
  std::vector<std::vector<double>> times(result.size());
  for (int64_t i = 0; i < passes; ++i) {
    const std::vector<StageTime> stages = time_pass(device, pass);  // the same marks each time
    for (size_t s = 0; s < stages.size() && s < times.size(); ++s) times[s].push_back(stages[s].ms);
  }
  for (size_t s = 0; s < result.size(); ++s) result[s].ms = median_of(times[s]);
  return result;
}

}  // namespace linden
