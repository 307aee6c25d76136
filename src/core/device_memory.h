// What a process holds of a device's memory through torch's allocator, and waiting for the device.
#pragma once

#include <c10/core/Device.h>

#include <limits>

namespace linden {

struct DeviceMemory {
  double allocated = std::numeric_limits<double>::quiet_NaN();  // bytes of live tensors; NaN: not known (CPU)
  double peak = std::numeric_limits<double>::quiet_NaN();       // most of these at once since the start, or the last reset
};
DeviceMemory device_memory(at::Device device);
void reset_peak_memory(at::Device device);

// Until all that was queued on the device has run; nothing on the CPU.
void synchronize(at::Device device);

}  // namespace linden
