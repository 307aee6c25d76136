#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

#include <array>
#include <filesystem>

#include "tests/fuzz/target.h"

namespace linden::fuzz {

std::vector<Target> all_targets() {
  return {safetensors_target(), safetensors_index_target(),
          hdf5_target(),        tree_target(),
          idx_target(),         cifar_target(),
          png_target(),         npz_target(),
          npy_target(),         config_target(),
          event_log_target(),   event_cut_target(),
          wan_config_target()};
}

MemoryFile::MemoryFile() {
  const bool in_memory = std::filesystem::is_directory("/dev/shm");
  path_ = (in_memory ? "/dev/shm/linden_fuzz_" : "/tmp/linden_fuzz_") + std::string(6, 'X');  // mkstemp's pattern
  const int descriptor = ::mkstemp(path_.data());
  if (descriptor < 0) std::abort();
  ::close(descriptor);
}

MemoryFile::~MemoryFile() { ::unlink(path_.c_str()); }

void MemoryFile::assign(std::span<const std::byte> bytes) {
  const int descriptor = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (descriptor < 0 || ::write(descriptor, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) std::abort();
  ::close(descriptor);
}

uint32_t little_endian_word(std::string_view bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) value |= static_cast<uint32_t>(static_cast<unsigned char>(bytes[at + i])) << (8 * i);
  return value;
}

void set_little_endian(std::string& bytes, size_t at, uint64_t value, size_t width) {
  for (size_t i = 0; i < width; ++i) bytes[at + i] = static_cast<char>(value >> (8 * i));
}

uint32_t crc32_of(std::string_view bytes) {
  return static_cast<uint32_t>(crc32(0, reinterpret_cast<const Bytef*>(bytes.data()), static_cast<uInt>(bytes.size())));
}

std::string deflated(std::string_view bytes, int window_bits) {
  z_stream stream{};
  if (deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY) != Z_OK) std::abort();
  std::string out(deflateBound(&stream, bytes.size()) + 32, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  if (deflate(&stream, Z_FINISH) != Z_STREAM_END) std::abort();
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string inflated(std::string_view bytes, int window_bits) {
  z_stream stream{};
  if (inflateInit2(&stream, window_bits) != Z_OK) std::abort();
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  std::string out;
  std::array<char, 4096> buffer;
  for (int status = Z_OK; status == Z_OK && out.size() < (1 << 20);) {
    stream.next_out = reinterpret_cast<Bytef*>(buffer.data());
    stream.avail_out = buffer.size();
    status = inflate(&stream, Z_NO_FLUSH);
    out.append(buffer.data(), buffer.size() - stream.avail_out);
  }
  inflateEnd(&stream);
  return out;
}

}  // namespace linden::fuzz
