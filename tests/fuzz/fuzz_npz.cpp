// npz archives, and the npy arrays in them.
#include <ATen/core/Tensor.h>

#include "core/files.h"
#include "io/npz.h"
#include "tests/fuzz/target.h"

namespace linden::fuzz {
namespace {

constexpr int kRaw = -15;
constexpr size_t kLocalBytes = 30, kCentralBytes = 46, kEndBytes = 22;

void fuzz_npz(std::span<const std::byte> bytes) {
  static MemoryFile file;
  file.assign(bytes);
  read_npz(file.path());
}

void fuzz_npy(std::span<const std::byte> bytes) { parse_npy(text_of(bytes), "npy"); }

// A zip archive of one array under its right checksum and sizes.
std::string archive_of(const std::string& array, bool deflate) {
  const std::string name = "x.npy", packed = deflate ? deflated(array, kRaw) : array;
  std::string local(kLocalBytes, '\0'), central(kCentralBytes, '\0'), end(kEndBytes, '\0');
  const auto shared = [&](std::string& header, size_t first) {  // the fields of both headers, from the method on
    set_little_endian(header, first, deflate ? 8 : 0, 2);
    set_little_endian(header, first + 6, crc32_of(array), 4);
    set_little_endian(header, first + 10, packed.size(), 4);
    set_little_endian(header, first + 14, array.size(), 4);
    set_little_endian(header, first + 18, name.size(), 2);
  };
  set_little_endian(local, 0, 0x04034b50, 4);
  shared(local, 8);
  set_little_endian(central, 0, 0x02014b50, 4);
  shared(central, 10);
  set_little_endian(end, 0, 0x06054b50, 4);
  set_little_endian(end, 8, 1, 2);
  set_little_endian(end, 10, 1, 2);
  set_little_endian(end, 12, central.size() + name.size(), 4);
  set_little_endian(end, 16, local.size() + name.size() + packed.size(), 4);
  return local + name + packed + central + name + end;
}

std::string mutated_array(Mutator& mutator, std::string seed, const std::string&) {
  static const std::vector<std::string> kArrays = [] {
    std::vector<std::string> arrays;
    for (const std::string& file : npy_target().seeds) arrays.push_back(read_text_file(file));
    return arrays;
  }();
  std::string array = kArrays[mutator.below(kArrays.size())];
  mutator.mutate(array, kArrays[mutator.below(kArrays.size())], npy_target().dictionary);
  std::string archive = archive_of(array, mutator.one_in(2));
  if (mutator.one_in(4)) mutator.mutate(archive, seed, npz_target().dictionary);
  return archive;
}

}  // namespace

Target npz_target() {
  return {.name = "npz",
          .seeds = {"tests/golden/io/stored.npz", "tests/golden/io/deflated.npz"},
          .read = fuzz_npz,
          .dictionary = {"PK\x01\x02", "PK\x03\x04", "PK\x05\x06", "PK\x06\x06", std::string("\xff\xff\xff\xff", 4), "\x93NUMPY", ".npy"},
          .structured = mutated_array,
          .isolated = nullptr,
          .library = ""};
}

Target npy_target() {
  return {.name = "npy",
          .seeds = {"tests/fuzz/seeds/counting.npy", "tests/fuzz/seeds/column_major.npy", "tests/fuzz/seeds/scalar.npy", "tests/fuzz/seeds/version_2.npy"},
          .read = fuzz_npy,
          .dictionary = {"'descr'", "'fortran_order'", "'shape'", "True", "False", "(", ")", ",", "'<f4'", "'|b1'", "'|O'", "'>i8'", "(0,)", "L"},
          .structured = nullptr,
          .isolated = nullptr,
          .library = ""};
}

}  // namespace linden::fuzz
