// Where the time of a network's forward pass goes: a clock on the marks of nn/stage.h.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace linden {

struct StageTime {
  std::string name;
  int64_t calls = 0;  // of one pass
  double ms = 0;      // of all calls of a pass together; median over the passes
};
// Runs `pass` once uncounted, then `passes` times. Stages in the order of their first mark; what runs before the first
// one is not counted. Events of the stream on a GPU (some hundred a pass, a microsecond each), the wall clock on the CPU.
std::vector<StageTime> time_stages(c10::Device device, const std::function<void()>& pass, int64_t passes);

}  // namespace linden
