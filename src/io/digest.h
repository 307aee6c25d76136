// MD5, SHA-256 and CRC-32 of bytes, to compare files with the sums that were stated for them. Against damage, not against
// forgery (MD5 and CRC-32 are no help there).
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace linden {

std::string md5_hex(std::span<const std::byte> bytes);     // RFC 1321: 32 lower-case hexadecimal digits
std::string sha256_hex(std::span<const std::byte> bytes);  // FIPS 180-4: 64 of them
std::string crc32_hex(std::span<const std::byte> bytes);   // RFC 1952: 8 of them, about five times as fast

}  // namespace linden
