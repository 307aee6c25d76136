// Records of CIFAR-10's binary version.
#include <ATen/core/Tensor.h>

#include "data/cifar.h"
#include "tests/fuzz/target.h"

namespace linden::fuzz {

Target cifar_target() {
  return {.name = "cifar",
          .seeds = {"tests/golden/data/cifar/data_batch_1.bin"},
          .read = [](std::span<const std::byte> bytes) { parse_cifar_records(bytes, "fuzz"); },
          .dictionary = {std::string(1, '\x09'), std::string(1, '\x0a')},
          // Whole records whose labels alone are mutated: a random cut is refused by its length.
          .structured =
              [](Mutator& mutator, std::string seed, const std::string&) {
                constexpr size_t kRecord = 1 + 3 * 32 * 32;
                std::string labels;
                for (size_t at = 0; at < seed.size(); at += kRecord) labels += seed[at];
                mutator.mutate(labels, labels, {});
                std::string bytes;
                for (size_t i = 0; i < labels.size() && i < 64; ++i) bytes += labels[i] + seed.substr(1, kRecord - 1);
                return bytes;
              },
          .isolated = nullptr,
          .library = ""};
}

}  // namespace linden::fuzz
