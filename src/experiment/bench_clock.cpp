#include "experiment/bench_clock.h"

#include <ATen/ATen.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "core/device_memory.h"

namespace linden {
namespace {

constexpr double kLongCall = 20e3, kLongBudget = 1e6;  // us
constexpr int64_t kLeastRepeats = 5, kWarmUps = 10;

}  // namespace

double median_of(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

double DeviceClock::once(const std::function<void()>& action) const {
  if (!device_.is_cuda()) {
    const auto start = std::chrono::steady_clock::now();
    action();
    return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count();
  }
  const c10::Stream stream = c10::impl::VirtualGuardImpl(device_.type()).getStream(device_);
  c10::Event begin(device_.type(), c10::EventFlag::BACKEND_DEFAULT), end(device_.type(), c10::EventFlag::BACKEND_DEFAULT);
  begin.record(stream);
  action();
  end.record(stream);
  end.synchronize();
  return 1000 * begin.elapsedTime(end);
}

void DeviceClock::empty_cache() const {
  if (device_.is_cuda()) c10::getDeviceAllocator(device_.type())->emptyCache();
}

CallTiming DeviceClock::time(const TimedCall& call) const {
  CallTiming timing;
  int64_t number = 0;
  std::vector<at::Tensor> kept;
  const auto timed = [&] {
    kept.clear();
    return once([&] { kept = call(number++); });
  };
  timed();  // compiles, plans, fills the allocator's cache
  const double second = timed();
  const bool is_long = second > kLongCall;
  timing.repeats = is_long ? std::min(repeats_, std::max(kLeastRepeats, static_cast<int64_t>(kLongBudget / second))) : repeats_;
  for (int64_t i = 2; !is_long && i < kWarmUps; ++i) timed();
  kept.clear();
  if (device_.is_cuda()) {
    reset_peak_memory(device_);
    timed();
    const DeviceMemory memory = device_memory(device_);  // the outputs are still held
    timing.workspace_mb = (memory.peak - memory.allocated) * 1e-6;
    timing.peak_gb = memory.peak * 1e-9;
  }
  std::vector<double> times;
  for (int64_t i = 0; i < timing.repeats; ++i) times.push_back(timed());
  timing.us = median_of(times);
  const int64_t queued = is_long ? 2 : std::min<int64_t>(timing.repeats, 20);
  timing.queued_us = once([&] {
                       for (int64_t i = 0; i < queued; ++i) kept = call(number++);
                     }) /
                     static_cast<double>(queued);
  return timing;
}

}  // namespace linden
