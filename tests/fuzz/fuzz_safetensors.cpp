// safetensors: one file, and the index of a sharded checkpoint.
#include <ATen/ATen.h>

#include <filesystem>

#include "core/files.h"
#include "io/safetensors.h"
#include "tests/fuzz/target.h"
#include "tests/support/support.h"

namespace linden::fuzz {
namespace {

volatile uint64_t byte_sum;

void touch(const at::Tensor& tensor) {
  uint64_t sum = 0;
  const auto* bytes = static_cast<const unsigned char*>(tensor.const_data_ptr());
  for (size_t i = 0; i < tensor.nbytes(); ++i) sum += bytes[i];
  byte_sum = sum;
}

void fuzz_safetensors(std::span<const std::byte> bytes) {
  static MemoryFile file;
  file.assign(bytes);
  for (const auto& [name, tensor] : load_safetensors(file.path())) touch(tensor);
}

// The header is mutated, and its length, which stands before it, follows.
std::string mutated_header(Mutator& mutator, std::string seed, const std::string& other) {
  constexpr size_t kLength = 8;
  const size_t size = std::min<size_t>(little_endian_word(seed, 0), seed.size() - kLength);
  std::string header = seed.substr(kLength, size);
  mutator.mutate(header, other.substr(kLength), safetensors_target().dictionary);
  std::string out(kLength, '\0');
  set_little_endian(out, 0, header.size(), kLength);
  return out + header + seed.substr(kLength + size);
}

// The mutated index beside sound shards.
void fuzz_safetensors_index(std::span<const std::byte> bytes) {
  static const test::TemporaryFolder folder;
  static const bool prepared = [] {
    // Every tensor once more: an index that names this shard beside another has some of them twice.
    save_safetensors(folder / "both.safetensors", load_safetensors("tests/golden/io/sharded"));
    for (const auto& shard : std::filesystem::directory_iterator("tests/golden/io/sharded")) {
      if (shard.path().extension() == ".safetensors") write_file_atomically(folder / shard.path().filename().string(), read_text_file(shard.path()));
    }
    return true;
  }();
  static MemoryFile file;
  static const std::string index = (folder / "model.safetensors.index.json").string();
  static const bool linked = prepared && (std::filesystem::create_symlink(file.path(), index), true);
  (void)linked;
  file.assign(bytes);
  for (const auto& [name, tensor] : load_safetensors(index)) touch(tensor);
}

}  // namespace

Target safetensors_target() {
  return {
      .name = "safetensors",
      .seeds = {"tests/fuzz/seeds/small.safetensors", "tests/golden/io/every_dtype.safetensors", "tests/golden/io/sharded/model-00002-of-00002.safetensors"},
      .read = fuzz_safetensors,
      .dictionary = {"\"dtype\"", "\"shape\"", "\"data_offsets\"", "\"__metadata__\"", "\"F32\"", "\"BOOL\"", "\"F8_E8M0\"", "\"C64\"", "[0,0]", "[]", "{}",
                     ",", ":", "null", "\\u0000", "\\ud800", "\"a.weight\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"},
      .structured = mutated_header,
      .isolated = nullptr,
      .library = ""};
}

Target safetensors_index_target() {
  return {.name = "safetensors_index",
          .seeds = {"tests/golden/io/sharded/model.safetensors.index.json", "tests/fuzz/seeds/both.safetensors.index.json"},
          .read = fuzz_safetensors_index,
          .dictionary = {"\"weight_map\"", "\"metadata\"", "{", "}", "[", "\"a.weight\"", "model-00001-of-00002.safetensors",
                         "model-00002-of-00002.safetensors", "both.safetensors", "model.safetensors.index.json", "..", "/", "\\u0000", "\\ud800", "{\"a\":"},
          .structured = nullptr,
          .isolated = nullptr,
          .library = ""};
}

}  // namespace linden::fuzz
