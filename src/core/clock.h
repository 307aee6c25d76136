// Wall time: how long something took, and what the clock on the wall says.
#pragma once

#include <chrono>
#include <string>

namespace linden {

using Clock = std::chrono::steady_clock;

inline double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }
std::string local_time();  // "2026-11-24T09:30:00"

}  // namespace linden
