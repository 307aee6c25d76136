// Inputs run in a forked worker: where it dies, the input it died on is known and the next worker goes on behind it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/fuzz/target.h"

namespace linden::fuzz {

struct RefusalClass {
  char text[80] = "";  // the message without names and numbers
  uint64_t count = 0;
};

// Lies in memory that worker and parent share.
struct Progress {
  static constexpr size_t kMaxClasses = 400;
  uint64_t number = 0;  // the input in work
  uint64_t accepted = 0, refused = 0;
  uint64_t findings = 0, contained = 0;  // contained: crashes of the library that the reader turned into an InputError
  uint64_t num_classes = 0, other_refusals = 0;
  RefusalClass classes[kMaxClasses];
};

struct Options {
  uint64_t seed = 1, first = 0, inputs = 10'000;
  std::filesystem::path findings = "runs/fuzz";  // failing inputs go here
};

// The bytes of input `number`.
std::string make_input(const Target& target, const std::vector<std::string>& seeds, uint64_t seed, uint64_t number);
std::vector<std::string> read_seeds(const Target& target);
// Runs all inputs; what it found is in `progress`.
void run_target(const Target& target, const Options& options, Progress& progress);

}  // namespace linden::fuzz
