// HDF5 sample sets: in this process for speed; an input on which HDF5 crashes goes through the reader's own process too.
#include <ATen/ATen.h>

#include <string>

#include "core/error.h"
#include "io/hdf5.h"
#include "tests/fuzz/target.h"

namespace linden::fuzz {
namespace {

// Every dataset and every attribute that linden's files have; the first refusal is thrown when all were tried.
void read_everything(const Hdf5Reader& reader) {
  std::string refusal;
  const auto attempt = [&](auto&& action) {
    try {
      action();
    } catch (const InputError& error) {
      if (refusal.empty()) refusal = error.what();
    }
  };
  for (const std::string& name : reader.names()) attempt([&] { reader.read(name); });
  for (const char* name : {"text", "fixed", "method"}) {
    attempt([&] {
      try {
        reader.text_attribute(name);
      } catch (const InputError& error) {
        if (std::string_view(error.what()).find("holds no attribute") == std::string_view::npos) throw;
      }
    });
  }
  for (const char* name : {"integer", "real", "seed"}) {
    attempt([&] {
      try {
        reader.real_attribute(name);
        reader.integer_attribute(name);
      } catch (const InputError& error) {
        const std::string_view what = error.what();
        if (what.find("holds no attribute") == std::string_view::npos && what.find("is not an integer") == std::string_view::npos) throw;
      }
    });
  }
  if (!refusal.empty()) throw InputError(refusal);
}

void fuzz_hdf5(std::span<const std::byte> bytes) {
  static MemoryFile file;
  file.assign(bytes);
  read_everything(Hdf5Reader(file.path(), Hdf5Isolation::kNone));
}

void fuzz_hdf5_isolated(std::span<const std::byte> bytes) {
  static MemoryFile file;
  file.assign(bytes);
  read_everything(Hdf5Reader(file.path()));
}

// Most of an HDF5 file is empty space: changes fall where bytes are not zero.
std::string mutated_content(Mutator& mutator, std::string seed, const std::string&) {
  for (uint64_t count = 1 + mutator.below(4); count > 0; --count) {
    size_t at = mutator.below(seed.size());
    while (at + 1 < seed.size() && seed[at] == 0) ++at;
    switch (mutator.below(4)) {
      case 0: seed[at] ^= static_cast<char>(1 << mutator.below(8)); break;
      case 1: seed[at] = static_cast<char>(seed[at] + static_cast<char>(mutator.below(5)) - 2); break;
      case 2: seed[at] = static_cast<char>(mutator.below(16)); break;
      default: seed[at] = static_cast<char>(mutator.next()); break;
    }
  }
  return seed;
}

}  // namespace

Target hdf5_target() {
  return {.name = "hdf5",
          .seeds = {"tests/fuzz/seeds/samples.h5", "tests/fuzz/seeds/v110.h5", "tests/fuzz/seeds/chunked.h5", "tests/golden/io/arrays.h5"},
          .read = fuzz_hdf5,
          .dictionary = {"TREE", "HEAP", "SNOD", "OHDR", "OCHK", "GCOL", "FRHP", "BTHD", std::string("\xff\xff\xff\xff\xff\xff\xff\xff", 8)},
          .structured = mutated_content,
          .isolated = fuzz_hdf5_isolated,
          .library = "libhdf5"};
}

}  // namespace linden::fuzz
