// One reader under the fuzzer: its seeds, how its files are mutated with sense, and the call. One small file a target
// (fuzz_png.cpp ...); a new one is declared at the end and listed in targets.cpp.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tests/fuzz/mutation.h"

namespace linden::fuzz {

struct Target {
  std::string name;
  std::vector<std::string> seeds;  // files, from the root of the repository
  // Reads one input. It returns, or throws InputError: anything else is a finding.
  std::function<void(std::span<const std::byte>)> read;
  std::vector<std::string> dictionary;
  // Mutates what checksums and compression hide and makes those anew: for half of the inputs. `other` is another seed.
  std::function<std::string(Mutator&, std::string seed, const std::string& other)> structured;
  // For readers on a library that crashes on damaged files: the same input through the reader as users have it.
  std::function<void(std::span<const std::byte>)> isolated;
  std::string library;  // whose crashes those are: as stack traces name it
};

// A file in memory that readers open by its path.
class MemoryFile {
 public:
  MemoryFile();
  ~MemoryFile();
  MemoryFile(const MemoryFile&) = delete;
  const std::string& path() const { return path_; }
  void assign(std::span<const std::byte> bytes);

 private:
  std::string path_;
};

inline std::string_view text_of(std::span<const std::byte> bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }
uint32_t little_endian_word(std::string_view bytes, size_t at);
void set_little_endian(std::string& bytes, size_t at, uint64_t value, size_t width);
uint32_t crc32_of(std::string_view bytes);
std::string deflated(std::string_view bytes, int window_bits);  // zlib's: 15 zlib, 31 gzip, -15 raw
std::string inflated(std::string_view bytes, int window_bits);  // what comes out before an error

Target safetensors_target();
Target safetensors_index_target();
Target hdf5_target();
Target tree_target();
Target idx_target();
Target cifar_target();
Target png_target();
Target npz_target();
Target npy_target();
Target config_target();
Target event_log_target();
Target event_cut_target();
Target wan_config_target();

std::vector<Target> all_targets();

}  // namespace linden::fuzz
