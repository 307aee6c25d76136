// PNG pictures: chunks have a CRC, pixels and compressed texts are deflated.
#include <ATen/core/Tensor.h>

#include <map>

#include "io/png.h"
#include "tests/fuzz/target.h"

namespace linden::fuzz {
namespace {

constexpr size_t kSignature = 8, kAround = 12;  // bytes of a chunk besides its data: length, type, CRC
constexpr int kZlib = 15;

uint32_t big_endian_word(std::string_view bytes, size_t at) { return __builtin_bswap32(little_endian_word(bytes, at)); }
std::string big_endian(uint32_t value) {
  std::string bytes(4, '\0');
  set_little_endian(bytes, 0, __builtin_bswap32(value), 4);
  return bytes;
}

void fuzz_png(std::span<const std::byte> bytes) {
  static MemoryFile file;
  file.assign(bytes);
  std::map<std::string, std::string> text;
  read_png(file.path(), &text);
}

std::string chunk(const std::string& type, const std::string& data) {
  return big_endian(static_cast<uint32_t>(data.size())) + type + data + big_endian(crc32_of(type + data));
}

// Calls visit(type, data) for each whole chunk and puts the picture together from what it returns.
template <class Visit>
std::string rebuilt(const std::string& bytes, Visit&& visit) {
  if (bytes.size() < kSignature) return bytes;
  std::string out = bytes.substr(0, kSignature);
  size_t at = kSignature;
  while (bytes.size() - at >= kAround) {
    const size_t size = big_endian_word(bytes, at);
    if (size > bytes.size() - at - kAround) break;
    const std::string type = bytes.substr(at + 4, 4);
    out += chunk(type, visit(type, bytes.substr(at + 8, size)));
    at += kAround + size;
  }
  return out + bytes.substr(at);
}

// Either the data of the chunks are mutated (the pixels before they are deflated), or the whole file; the CRCs follow.
std::string with_right_checksums(Mutator& mutator, std::string seed, const std::string& other) {
  if (mutator.one_in(3)) {
    mutator.mutate(seed, other, png_target().dictionary);
    return rebuilt(seed, [](const std::string&, const std::string& data) { return data; });
  }
  return rebuilt(seed, [&](const std::string& type, std::string data) {
    if (!mutator.one_in(2)) return data;
    const bool pixels = type == "IDAT" && !mutator.one_in(4);
    if (pixels) data = inflated(data, kZlib);
    mutator.mutate(data, other, {});
    return pixels ? deflated(data, kZlib) : data;
  });
}

}  // namespace

Target png_target() {
  const std::string golden = "tests/golden/io/";
  return {.name = "png",
          .seeds = {golden + "grey.png", golden + "rgb.png", golden + "rgba.png", golden + "grey_alpha.png", golden + "grey16.png", golden + "bits.png",
                    golden + "palette.png"},
          .read = fuzz_png,
          .dictionary = {"IHDR", "PLTE", "IDAT", "IEND", "tRNS", "tEXt", "zTXt", "iTXt", "gAMA", "iCCP", "sBIT", "sPLT", "hIST", "pCAL", "eXIf", "acTL",
                         chunk("tEXt", std::string("a\0b", 3)), chunk("IDAT", ""), chunk("PLTE", "abcdef")},
          .structured = with_right_checksums,
          .isolated = nullptr,
          .library = ""};
}

}  // namespace linden::fuzz
