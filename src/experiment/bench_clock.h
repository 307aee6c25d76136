// Time and memory of one call on a device: what every benchmark measures with.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

namespace linden {

struct CallTiming {
  double us = 0;                                                   // median of one call by itself: the device is idle before it and waited for after it
  double queued_us = 0;                                            // mean of calls that queue behind one another: what is left when launches hide behind work
  int64_t repeats = 0;                                             // calls that the median is over
  double workspace_mb = std::numeric_limits<double>::quiet_NaN();  // the most memory in use beyond inputs and outputs; NaN: not known (CPU)
  double peak_gb = std::numeric_limits<double>::quiet_NaN();       // the most memory in use in all; NaN: not known (CPU)
};

// One call: gets the number of the call, returns what it made, so that it is freed outside the time.
using TimedCall = std::function<std::vector<at::Tensor>(int64_t call)>;

class DeviceClock {
 public:
  // A call of more than 20 ms is repeated less often, for about a second but at least 5 times.
  DeviceClock(at::Device device, int64_t repeats) : device_(device), repeats_(repeats) {}

  // By events of the stream on a GPU, by the wall clock on the CPU; after warm-up.
  CallTiming time(const TimedCall& call) const;
  // Microseconds of `action` alone, no warm-up.
  double once(const std::function<void()>& action) const;
  at::Device device() const { return device_; }
  // Gives cached memory back to the device (a GPU only).
  void empty_cache() const;

 private:
  at::Device device_;
  int64_t repeats_;
};

double median_of(std::vector<double> values);  // of an even number: the upper one

}  // namespace linden
