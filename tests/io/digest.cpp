#include "io/digest.h"

#include <catch2/catch_test_macros.hpp>
#include <string_view>

using namespace linden;

namespace {

std::string md5(std::string_view text) { return md5_hex(std::as_bytes(std::span(text))); }
std::string sha256(std::string_view text) { return sha256_hex(std::as_bytes(std::span(text))); }

}  // namespace

TEST_CASE("MD5: the vectors of RFC 1321", "[truth]") {
  CHECK(md5("") == "d41d8cd98f00b204e9800998ecf8427e");
  CHECK(md5("a") == "0cc175b9c0f1b6a831c399e269772661");
  CHECK(md5("message digest") == "f96b697d7cb7938d525a2f31aaf161d0");
  CHECK(md5("12345678901234567890123456789012345678901234567890123456789012345678901234567890") == "57edf4a22be3c955ac49da2e2107b67a");
}

TEST_CASE("SHA-256: the vectors of FIPS 180", "[truth]") {
  CHECK(sha256("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(sha256("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") == "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  CHECK(sha256(std::string(1000000, 'a')) == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_CASE("CRC-32: the check value of its catalogue", "[truth]") {
  const auto crc32 = [](std::string_view text) { return crc32_hex(std::as_bytes(std::span(text))); };
  CHECK(crc32("") == "00000000");
  CHECK(crc32("123456789") == "cbf43926");
}

TEST_CASE("digests around the end of a block, as hashlib has them", "[golden]") {
  CHECK(md5(std::string(55, 'x')) == "04364420e25c512fd958a70738aa8f72");
  CHECK(md5(std::string(56, 'x')) == "668a72d5ba17f08e62dabcafad6db14b");
  CHECK(md5(std::string(64, 'x')) == "c1bb4f81d892b2d57947682aeb252456");
  CHECK(sha256(std::string(55, 'x')) == "d5e285683cd4efc02d021a5c62014694958901005d6f71e89e0989fac77e4072");
  CHECK(sha256(std::string(56, 'x')) == "04c26261370ee7541549d16dee320c723e3fd14671e66a099afe0a377c16888e");
  CHECK(sha256(std::string(64, 'x')) == "7ce100971f64e7001e8fe5a51973ecdfe1ced42befe7ee8d5fd6219506b5393c");
}
