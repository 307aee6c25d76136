#include "tests/fuzz/mutation.h"

#include <algorithm>
#include <array>
#include <cctype>

namespace linden::fuzz {
namespace {

constexpr size_t kMaxBytes = 256 << 10;
constexpr size_t kHeaderBytes = 256;  // where most formats keep what matters
constexpr size_t kMaxChunk = 64, kMaxRepeats = 20'000;
constexpr std::array<unsigned char, 12> kBytes{0x00, 0x01, 0x02, 0x7f, 0x80, 0xfe, 0xff, '"', '{', '[', ' ', '9'};
constexpr std::array<const char*, 14> kDecimals{"0",
                                                "-1",
                                                "1",
                                                "2",
                                                "255",
                                                "65536",
                                                "2147483648",
                                                "4294967295",
                                                "4294967296",
                                                "9223372036854775807",
                                                "9223372036854775808",
                                                "18446744073709551615",
                                                "1e999",
                                                "99999999999999999999999"};

}  // namespace

uint64_t Mutator::next() {
  key_ += 0x9e3779b97f4a7c15u;
  uint64_t z = key_;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

// Half of the places lie among the first bytes.
size_t Mutator::place(std::string_view bytes) { return static_cast<size_t>(below(one_in(2) ? std::min(bytes.size(), kHeaderBytes) : bytes.size())); }

// 1, 2, 4 or 8 bytes, either byte order; small steps of what is there, powers of two, sizes near the file's.
void Mutator::set_integer(std::string& bytes) {
  const size_t width = size_t{1} << below(4);
  if (bytes.size() < width) return;
  size_t at = std::min(place(bytes), bytes.size() - width);
  if (!one_in(3)) at -= at % width;
  const bool big_endian = one_in(4);
  uint64_t value = 0;
  for (size_t i = 0; i < width; ++i) value |= static_cast<uint64_t>(static_cast<unsigned char>(bytes[at + (big_endian ? width - 1 - i : i)])) << (8 * i);
  switch (below(6)) {
    case 0: value += below(5) - 2; break;
    case 1: value = below(4) - 1; break;
    case 2: value = (uint64_t{1} << below(64)) - below(2); break;
    case 3: value = bytes.size() + below(17) - 8; break;
    case 4: value = next(); break;
    default: value = value << 1 | below(2); break;
  }
  for (size_t i = 0; i < width; ++i) bytes[at + (big_endian ? width - 1 - i : i)] = static_cast<char>(value >> (8 * i));
}

// A decimal number in a text becomes another.
void Mutator::set_decimal(std::string& bytes) {
  const auto is_digit = [](char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; };
  const auto from = bytes.begin() + static_cast<std::ptrdiff_t>(place(bytes));
  const auto first = std::find_if(from, bytes.end(), is_digit);
  const auto last = std::find_if_not(first, bytes.end(), is_digit);
  if (first == bytes.end()) return;
  const std::string number = one_in(3) ? std::to_string(below(100)) : kDecimals[below(kDecimals.size())];
  bytes.replace(first, last, number);
}

// Erases a chunk, writes it again elsewhere (once or often), or swaps it with another.
void Mutator::move_chunk(std::string& bytes) {
  const size_t first = place(bytes), size = std::min(bytes.size() - first, 1 + below(kMaxChunk));
  const std::string chunk = bytes.substr(first, size);
  const size_t target = place(bytes);
  switch (below(8)) {
    case 0:
    case 1: bytes.erase(first, size); return;
    case 2:
    case 3: bytes.insert(target, chunk); return;
    case 4:
    case 5: {
      const size_t fits = std::min(size, bytes.size() - target);
      std::swap_ranges(bytes.begin() + static_cast<std::ptrdiff_t>(first), bytes.begin() + static_cast<std::ptrdiff_t>(first + fits),
                       bytes.begin() + static_cast<std::ptrdiff_t>(target));
      return;
    }
    case 6: bytes.replace(target, std::min(size, bytes.size() - target), chunk); return;
    default: break;
  }
  if (!one_in(8)) return;
  std::string many;
  const size_t unit = std::min<size_t>(size, 1 + below(6));
  for (size_t count = below(kMaxRepeats), i = 0; i < count && many.size() < kMaxBytes / 2; ++i) many.append(chunk, 0, unit);
  bytes.insert(target, many);
}

void Mutator::add_token(std::string& bytes, const std::vector<std::string>& dictionary) {
  if (dictionary.empty()) return;
  const std::string& token = dictionary[below(dictionary.size())];
  const size_t at = place(bytes);
  if (one_in(2)) {
    bytes.insert(at, token);
  } else {
    bytes.replace(at, std::min(token.size(), bytes.size() - at), token);
  }
}

void Mutator::change(std::string& bytes, const std::string& other, const std::vector<std::string>& dictionary) {
  if (bytes.empty()) bytes = other;
  if (bytes.empty()) return;
  switch (below(16)) {
    case 0:
    case 1:
    case 2: bytes[place(bytes)] ^= static_cast<char>(1 << below(8)); return;
    case 3:
    case 4: bytes[place(bytes)] = static_cast<char>(kBytes[below(kBytes.size())]); return;
    case 5:
    case 6:
    case 7:
    case 8: return set_integer(bytes);
    case 9:
    case 10: return set_decimal(bytes);
    case 11:
    case 12: return move_chunk(bytes);
    case 13: return add_token(bytes, dictionary);
    case 14:
      if (one_in(4)) bytes.resize(place(bytes));
      return;
    default:
      if (!other.empty() && one_in(2)) bytes = bytes.substr(0, place(bytes)) + other.substr(place(other));
      return;
  }
}

void Mutator::mutate(std::string& bytes, const std::string& other, const std::vector<std::string>& dictionary) {
  const uint64_t count = one_in(2) ? 1 + below(2) : 1 + below(8);
  for (uint64_t i = 0; i < count; ++i) change(bytes, other, dictionary);
  if (bytes.size() > kMaxBytes) bytes.resize(kMaxBytes);
}

}  // namespace linden::fuzz
