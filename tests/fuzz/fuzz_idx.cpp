// IDX, plain and gzip.
#include <ATen/core/Tensor.h>

#include "io/idx.h"
#include "tests/fuzz/target.h"

namespace linden::fuzz {
namespace {

constexpr int kGzip = 31;

void fuzz_idx(std::span<const std::byte> bytes) {
  static MemoryFile file;
  file.assign(bytes);
  read_idx(file.path());
}

// What is inside is mutated, then packed with a right checksum.
std::string packed(Mutator& mutator, std::string seed, const std::string& other) {
  if (seed.starts_with("\x1f\x8b")) seed = inflated(seed, kGzip);
  mutator.mutate(seed, other, {});
  return deflated(seed, kGzip);
}

}  // namespace

Target idx_target() {
  return {.name = "idx",
          .seeds = {"tests/golden/io/plain-idx3-ubyte", "tests/golden/io/packed-idx3-ubyte.gz"},
          .read = fuzz_idx,
          .dictionary = {"\x1f\x8b", std::string("\0\0\x08\x01", 4), std::string("\0\0\x08\x08", 4)},
          .structured = packed,
          .isolated = nullptr,
          .library = ""};
}

}  // namespace linden::fuzz
