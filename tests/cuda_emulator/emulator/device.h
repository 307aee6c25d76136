// The card that the emulator plays.
#pragma once

#include <cstddef>
#include <cstdint>

namespace linden::emulator {

struct Device {
  int multiprocessors = 4;
  int compute_capability = 9;         // major
  size_t shared_memory = 227 * 1024;  // of a block at most
  bool falling = false;               // order in which threads run
};
Device& device();
int64_t num_launches();  // so far

}  // namespace linden::emulator
