#include "io/npz.h"

#include <ATen/ATen.h>
#include <zlib.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "core/error.h"
#include "io/mapped_file.h"
#include "io/pending_file.h"

namespace linden {
namespace {

constexpr uint32_t kLocalSignature = 0x04034b50, kCentralSignature = 0x02014b50, kEndSignature = 0x06054b50;
constexpr size_t kLocalSize = 30, kCentralSize = 46, kEndSize = 22, kMostComment = 65535;
constexpr uint32_t kInZip64 = 0xffffffff;
constexpr uint64_t kMaxDeflateRatio = 1100;  // zlib's is 1032
constexpr uint16_t kEncrypted = 1, kStored = 0, kDeflated = 8;

uint32_t little_endian(std::string_view bytes, size_t at, size_t count) {
  uint32_t value = 0;
  for (size_t i = 0; i < count; ++i) value |= static_cast<uint32_t>(static_cast<unsigned char>(bytes[at + i])) << (8 * i);
  return value;
}

struct Entry {
  std::string name;
  uint16_t flags = 0, method = 0;
  uint32_t checksum = 0, packed_size = 0, size = 0, offset = 0;
};

// The end record is the last one in the file, before a comment.
size_t find_end_record(std::string_view bytes, const std::string& file) {
  check_input(bytes.size() >= kEndSize, "{}: no npz file: {} bytes are too few for a zip archive", file, bytes.size());
  const size_t first = bytes.size() - std::min(bytes.size(), kEndSize + kMostComment);
  for (size_t at = bytes.size() - kEndSize + 1; at-- > first;) {
    if (little_endian(bytes, at, 4) == kEndSignature) return at;
  }
  throw InputError(fmt::format("{}: no npz file, or cut: there is no zip directory at its end", file));
}

Entry parse_central(std::string_view bytes, size_t at, const std::string& file) {
  check_input(at <= bytes.size() && bytes.size() - at >= kCentralSize && little_endian(bytes, at, 4) == kCentralSignature, "{}: the zip directory is damaged",
              file);
  Entry entry;
  entry.flags = static_cast<uint16_t>(little_endian(bytes, at + 8, 2));
  entry.method = static_cast<uint16_t>(little_endian(bytes, at + 10, 2));
  entry.checksum = little_endian(bytes, at + 16, 4);
  entry.packed_size = little_endian(bytes, at + 20, 4);
  entry.size = little_endian(bytes, at + 24, 4);
  entry.offset = little_endian(bytes, at + 42, 4);
  const size_t name_size = little_endian(bytes, at + 28, 2);
  check_input(bytes.size() - at - kCentralSize >= name_size, "{}: the zip directory is cut", file);
  entry.name = std::string(bytes.substr(at + kCentralSize, name_size));
  return entry;
}

std::vector<Entry> read_directory(std::string_view bytes, const std::string& file) {
  const size_t end = find_end_record(bytes, file);
  const uint32_t count = little_endian(bytes, end + 10, 2);
  size_t at = little_endian(bytes, end + 16, 4);
  std::vector<Entry> entries;
  for (uint32_t i = 0; i < count; ++i) {
    entries.push_back(parse_central(bytes, at, file));
    at += kCentralSize + little_endian(bytes, at + 28, 2) + little_endian(bytes, at + 30, 2) + little_endian(bytes, at + 32, 2);
  }
  return entries;
}

std::string inflate_entry(std::string_view packed, const Entry& entry, const std::string& origin) {
  check_input(entry.size <= packed.size() * kMaxDeflateRatio, "{}: {} bytes cannot come out of {}", origin, entry.size, packed.size());
  std::string bytes(entry.size, '\0');
  z_stream stream{};
  constexpr int kRaw = -15;  // no zlib header
  if (inflateInit2(&stream, kRaw) != Z_OK) throw std::runtime_error("zlib cannot start");
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
  stream.avail_in = static_cast<uInt>(packed.size());
  stream.next_out = reinterpret_cast<Bytef*>(bytes.data());
  stream.avail_out = static_cast<uInt>(bytes.size());
  const int result = inflate(&stream, Z_FINISH);
  const bool whole = result == Z_STREAM_END && stream.avail_out == 0;
  inflateEnd(&stream);
  check_input(whole, "{}: the compressed data is damaged", origin);
  return bytes;
}

std::string unpack(std::string_view bytes, const Entry& entry, const std::string& origin) {
  check_input(!(entry.flags & kEncrypted), "{}: encrypted", origin);
  check_input(entry.size != kInZip64 && entry.packed_size != kInZip64 && entry.offset != kInZip64, "{}: larger than 4 GiB (zip64), which is not read", origin);
  check_input(entry.offset <= bytes.size() && bytes.size() - entry.offset >= kLocalSize && little_endian(bytes, entry.offset, 4) == kLocalSignature,
              "{}: the zip archive is damaged or cut: no entry at byte {}", origin, entry.offset);
  const size_t first = entry.offset + kLocalSize + little_endian(bytes, entry.offset + 26, 2) + little_endian(bytes, entry.offset + 28, 2);
  check_input(first <= bytes.size() && bytes.size() - first >= entry.packed_size, "{}: the zip archive is cut", origin);
  const std::string_view packed = bytes.substr(first, entry.packed_size);
  check_input(entry.method == kStored || entry.method == kDeflated, "{}: compression method {} (known: stored, deflated)", origin, entry.method);
  check_input(entry.method == kDeflated || entry.packed_size == entry.size, "{}: stored {} bytes, but {} are named", origin, entry.packed_size, entry.size);
  std::string unpacked = entry.method == kStored ? std::string(packed) : inflate_entry(packed, entry, origin);
  const uLong checksum = crc32(0, reinterpret_cast<const Bytef*>(unpacked.data()), static_cast<uInt>(unpacked.size()));
  check_input(checksum == entry.checksum, "{}: the checksum does not fit: the data is damaged", origin);
  return unpacked;
}

void append_number(std::string& out, uint32_t value, size_t count) {
  for (size_t i = 0; i < count; ++i) out += static_cast<char>(value >> (8 * i) & 0xff);
}

// The 26 bytes that a local header and a directory entry share.
void append_shared(std::string& out, const Entry& entry) {
  constexpr uint32_t kVersion = 20, kJanuary1980 = 0x21;  // a fixed date: equal arrays give equal files
  append_number(out, kVersion, 2);
  append_number(out, entry.flags, 2);
  append_number(out, entry.method, 2);
  append_number(out, 0, 2);
  append_number(out, kJanuary1980, 2);
  append_number(out, entry.checksum, 4);
  append_number(out, entry.size, 4);
  append_number(out, entry.size, 4);
  append_number(out, static_cast<uint32_t>(entry.name.size()), 2);
  append_number(out, 0, 2);
}

}  // namespace

NpzArrays read_npz(const std::filesystem::path& path) {
  const MappedFile file(path);
  NpzArrays arrays;
  for (const Entry& entry : read_directory(file.bytes(), path.string())) {
    const std::string name = entry.name.ends_with(".npy") ? entry.name.substr(0, entry.name.size() - 4) : entry.name;
    const std::string origin = path.string() + ": " + name;
    check_input(!arrays.contains(name), "{}: this array is in the archive twice", origin);
    arrays[name] = parse_npy(unpack(file.bytes(), entry, origin), origin);
  }
  return arrays;
}

void write_npz(const std::filesystem::path& path, const NpzArrays& arrays) {
  PendingFile file(path);
  std::string directory;
  uint64_t offset = 0;
  for (const auto& [name, array] : arrays) {
    const std::string bytes = format_npy(array);
    check(offset + bytes.size() < kInZip64, "npz: {} would be larger than 4 GiB", path.string());
    Entry entry;
    entry.name = name + ".npy";
    entry.size = static_cast<uint32_t>(bytes.size());
    entry.offset = static_cast<uint32_t>(offset);
    entry.checksum = static_cast<uint32_t>(crc32(0, reinterpret_cast<const Bytef*>(bytes.data()), static_cast<uInt>(bytes.size())));
    std::string local;
    append_number(local, kLocalSignature, 4);
    append_shared(local, entry);
    local += entry.name;
    file.write(local);
    file.write(bytes);
    offset += local.size() + bytes.size();
    append_number(directory, kCentralSignature, 4);
    append_number(directory, 20, 2);  // made by: version 2.0, no system
    append_shared(directory, entry);
    append_number(directory, 0, 2);  // no comment
    append_number(directory, 0, 2);  // first disk
    append_number(directory, 0, 2);  // internal attributes
    append_number(directory, 0, 4);  // external attributes
    append_number(directory, entry.offset, 4);
    directory += entry.name;
  }
  std::string end;
  append_number(end, kEndSignature, 4);
  append_number(end, 0, 4);  // one disk
  append_number(end, static_cast<uint32_t>(arrays.size()), 2);
  append_number(end, static_cast<uint32_t>(arrays.size()), 2);
  append_number(end, static_cast<uint32_t>(directory.size()), 4);
  append_number(end, static_cast<uint32_t>(offset), 4);
  append_number(end, 0, 2);
  file.write(directory);
  file.write(end);
  file.commit();
}

}  // namespace linden
