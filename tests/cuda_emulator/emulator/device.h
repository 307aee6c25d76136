// The card that the emulator plays.
#pragma once

#include <cstddef>

namespace linden::emulator {

struct Device {
  int multiprocessors = 4;
  int compute_capability = 9;         // major
  size_t shared_memory = 227 * 1024;  // of a block at most
  bool falling = false;               // order in which threads run
};
Device& device();

}  // namespace linden::emulator
