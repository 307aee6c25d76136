#include "io/idx.h"

#include <ATen/ATen.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "core/error.h"
#include "core/files.h"
#include "tests/support/support.h"

using namespace linden;
using Catch::Matchers::ContainsSubstring;
using linden::test::message_of;

namespace {

const std::filesystem::path kGolden = "tests/golden/io";

std::string problem_with(const std::string& bytes) {
  test::TemporaryFolder folder;
  write_file_atomically(folder / "x", bytes);
  CHECK_THROWS_AS(read_idx(folder / "x"), InputError);
  return message_of([&] { read_idx(folder / "x"); });
}

}  // namespace

TEST_CASE("IDX files, plain and gzip, of another program", "[golden]") {
  const at::Tensor expected = at::arange(24, at::kByte).reshape({2, 3, 4});
  CHECK(at::equal(read_idx(kGolden / "plain-idx3-ubyte"), expected));
  CHECK(at::equal(read_idx(kGolden / "packed-idx3-ubyte.gz"), expected));
}

TEST_CASE("IDX round trip", "[unit]") {
  test::TemporaryFolder folder;
  for (const bool gzip : {false, true}) {
    for (const auto& array : {at::randint(0, 256, {700, 28, 28}, at::kByte), at::arange(5, at::kByte), at::zeros({0, 3}, at::kByte),
                              at::arange(6, at::kByte).reshape({2, 3}).t()}) {
      write_idx(folder / "a", array, gzip);
      CHECK(at::equal(read_idx(folder / "a"), array));
    }
  }
  CHECK_THAT(message_of([&] { write_idx(folder / "a", at::zeros({3}), false); }), ContainsSubstring("write_idx: wanted u8"));
}

TEST_CASE("damaged IDX files", "[unit]") {
  const std::string whole = read_text_file(kGolden / "plain-idx3-ubyte");
  CHECK_THAT(problem_with(""), ContainsSubstring("the IDX file is cut short in its magic number"));
  CHECK_THAT(problem_with(whole.substr(0, 9)), ContainsSubstring("cut short in its header (dimension 2 of 3)"));
  CHECK_THAT(problem_with(whole.substr(0, 39)), ContainsSubstring("the IDX file is cut short: shape [2, 3, 4] needs 24 bytes, got 23"));
  CHECK_THAT(problem_with(whole + "x"), ContainsSubstring("bytes follow the 24 elements of shape [2, 3, 4]"));
  CHECK_THAT(problem_with("PK\3\4" + whole), ContainsSubstring("wrong magic number 504b0304: not an IDX file"));
  CHECK_THAT(problem_with(std::string("\0\0\x0d\1\0\0\0\0", 8)), ContainsSubstring("element type 0x0d, wanted 0x08"));
  CHECK_THAT(problem_with(std::string("\0\0\x08\x09", 4)), ContainsSubstring("has 9 dimensions, allowed 1 to 8"));
  CHECK_THAT(problem_with(std::string("\0\0\x08\3", 4) + std::string(12, '\xff')), ContainsSubstring("overflows"));
  CHECK_THAT(problem_with(std::string("\0\0\x08\1\xff\xff\xff\xff", 8)), ContainsSubstring("the file has too few"));
  test::TemporaryFolder folder;
  CHECK_THAT(message_of([&] { read_idx(folder / "none"); }), ContainsSubstring("none: cannot be opened: No such file"));
}

TEST_CASE("damaged gzip IDX files", "[unit]") {
  const std::string whole = read_text_file(kGolden / "packed-idx3-ubyte.gz");
  for (size_t size = 2; size < whole.size(); ++size) {
    INFO(size);
    CHECK_THAT(problem_with(whole.substr(0, size)), ContainsSubstring("cut short"));
  }
  CHECK_THAT(problem_with(whole + "x"), ContainsSubstring("bytes follow the 24 elements"));
  std::string checksum = whole;
  checksum[whole.size() - 6] = static_cast<char>(checksum[whole.size() - 6] ^ 1);
  CHECK_THAT(problem_with(checksum), ContainsSubstring("the gzip data are damaged: incorrect data check"));
  std::string method = whole;
  method[2] = 9;
  CHECK_THAT(problem_with(method), ContainsSubstring("the gzip data are damaged"));
}
