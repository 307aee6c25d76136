// Which device a run uses, and the process-wide numeric settings that go with it.
#pragma once

#include <c10/core/Device.h>

#include <string>

#include "core/run_config.h"

namespace linden {

// "auto" (cuda if there is a card, else cpu), "cpu", "cuda", "cuda:N". Throws InputError if there is no
// such card, or if the name is none of these.
at::Device select_device(const std::string& name);

// fp32 matrix products and convolutions on a card: exact fp32, or TF32 (10-bit mantissa, about 8x faster).
enum class Float32Math { kExact, kTf32 };

// Sets, in this one place: CPU threads (0: as many cores as the process may use), TF32 on or off, and
// deterministic cuDNN algorithms, so that equal runs on one machine are bit-equal. Returns the device.
at::Device set_up_device(const RunConfig& run, Float32Math math);

int64_t num_cards();                         // CUDA cards that this process can use
int64_t available_cores();                   // that this process may run on
std::string device_name(at::Device device);  // "NVIDIA H100 80GB HBM3", or the CPU's model

}  // namespace linden
