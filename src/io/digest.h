// MD5 and SHA-256 of bytes, to compare files with the sums that their publishers state. Against damage, not against forgery
// (MD5 is broken for that).
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace linden {

std::string md5_hex(std::span<const std::byte> bytes);     // RFC 1321: 32 lower-case hexadecimal digits
std::string sha256_hex(std::span<const std::byte> bytes);  // FIPS 180-4: 64 of them

}  // namespace linden
