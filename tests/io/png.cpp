#include "io/png.h"

#include <ATen/ATen.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <ctime>
#include <cmath>

#include "core/error.h"
#include "core/files.h"
#include "tests/support/support.h"

using namespace linden;
using Catch::Matchers::ContainsSubstring;
using linden::test::message_of;

namespace {

const std::filesystem::path kGolden = "tests/golden/io";

// (37 y + 91 x + 53 c) mod 256, as scripts/golden/make_io.py draws it.
at::Tensor pattern(int64_t channels, int64_t rows = 5, int64_t columns = 7) {
  const at::Tensor c = at::arange(channels, at::kLong).mul(53).view({-1, 1, 1});
  const at::Tensor y = at::arange(rows, at::kLong).mul(37).view({1, -1, 1});
  const at::Tensor x = at::arange(columns, at::kLong).mul(91).view({1, 1, -1});
  return (c + y + x).remainder(256).to(at::kByte);
}

}  // namespace

TEST_CASE("pictures of Pillow are read: grey, RGB, palette, 16 bits, 1 bit, alpha", "[golden]") {
  CHECK(at::equal(read_png(kGolden / "grey.png"), pattern(1)));
  CHECK(at::equal(read_png(kGolden / "rgb.png"), pattern(3)));
  CHECK(at::equal(read_png(kGolden / "rgba.png"), pattern(3)));
  CHECK(at::equal(read_png(kGolden / "grey_alpha.png"), pattern(1)));
  CHECK(at::equal(read_png(kGolden / "grey16.png"), pattern(1)));
  CHECK(at::equal(read_png(kGolden / "palette.png"), pattern(3)));
  CHECK(at::equal(read_png(kGolden / "bits.png"), pattern(1).ge(128).to(at::kByte).mul(255)));
  std::map<std::string, std::string> text;
  read_png(kGolden / "rgb.png", &text);
  CHECK(text.at("seed") == "42");
  CHECK(text.at("title") == "grüße");
  CHECK(text.at("long").size() == 1000);
}

TEST_CASE("pictures and their text survive writing and reading", "[unit]") {
  test::TemporaryFolder folder;
  const std::map<std::string, std::string> text{{"seed", "7"}, {"note", "größer als 3 < 4"}, {"empty", ""}, {"config", std::string(50'000, 'c')}};
  for (const int64_t channels : {1, 3}) {
    write_png(folder / "a.png", pattern(channels, 33, 65), text);
    std::map<std::string, std::string> read_text;
    CHECK(at::equal(read_png(folder / "a.png", &read_text), pattern(channels, 33, 65)));
    CHECK(read_text == text);
  }
  const at::Tensor strided = pattern(3).permute({0, 2, 1});
  write_png(folder / "b.png", strided);
  CHECK(at::equal(read_png(folder / "b.png"), strided));
}

TEST_CASE("damaged pictures", "[unit]") {
  test::TemporaryFolder folder;
  const auto problem = [&](const std::string& bytes) {
    write_file_atomically(folder / "x.png", bytes);
    CHECK_THROWS_AS(read_png(folder / "x.png"), InputError);
    return message_of([&] { read_png(folder / "x.png"); });
  };
  const std::string whole = encode_png(pattern(3, 40, 40), {{"seed", "7"}});
  for (size_t size = 8; size < whole.size(); size += 5) {
    INFO(size);
    CHECK_THAT(problem(whole.substr(0, size)), ContainsSubstring("x.png: the PNG is damaged: the file is cut short"));
  }
  for (size_t at = 8; at < whole.size(); at += 11) {  // every chunk has a checksum
    INFO(at);
    std::string flipped = whole;
    flipped[at] = static_cast<char>(flipped[at] ^ 0x10);
    CHECK_THAT(problem(flipped), ContainsSubstring("x.png: the PNG is damaged: "));
  }
  // A text chunk that claims 2 GB is refused without taking them: in far less than the time that clearing them needs.
  const std::string claim = whole.substr(0, 33) + std::string("\x7b\0\0\0tEXt", 8) + whole.substr(33);
  const std::clock_t start = std::clock();
  CHECK_THAT(problem(claim), ContainsSubstring("the file is cut short"));
  CHECK(std::clock() - start < CLOCKS_PER_SEC / 10);
  std::string checksum = whole;
  checksum[32] = static_cast<char>(checksum[32] ^ 1);
  CHECK_THAT(problem(checksum), ContainsSubstring("CRC error"));
  CHECK_THAT(problem("surely no picture"), ContainsSubstring("x.png: is not a PNG file"));
  CHECK_THAT(problem(""), ContainsSubstring("is not a PNG file"));
  CHECK_THAT(message_of([&] { read_png(folder / "none.png"); }), ContainsSubstring("none.png: cannot be opened"));
}

TEST_CASE("a header that claims too many pixels is refused before anything is allocated", "[unit]") {
  test::TemporaryFolder folder;
  // IHDR of width x height, 8-bit grey, with its CRC-32 (computed here), then an empty IDAT.
  const auto crc = [](const std::string& bytes) {
    uint32_t value = 0xffffffffu;
    for (const char byte : bytes) {
      value ^= static_cast<unsigned char>(byte);
      for (int bit = 0; bit < 8; ++bit) value = value >> 1 ^ (value & 1 ? 0xedb88320u : 0u);
    }
    return ~value;
  };
  const auto word = [](uint32_t value) {
    std::string text;
    for (int shift = 24; shift >= 0; shift -= 8) text += static_cast<char>(value >> shift & 0xff);
    return text;
  };
  const auto chunk = [&](const std::string& typed) { return word(static_cast<uint32_t>(typed.size() - 4)) + typed + word(crc(typed)); };
  const auto problem = [&](uint32_t width, uint32_t height) {
    write_file_atomically(folder / "x.png",
                          "\x89PNG\r\n\x1a\n" + chunk("IHDR" + word(width) + word(height) + std::string("\x08\0\0\0\0", 5)) + chunk("IDAT") + chunk("IEND"));
    return message_of([&] { read_png(folder / "x.png"); });
  };
  CHECK_THAT(problem(1 << 15, 1 << 14), ContainsSubstring("has 16384 x 32768 pixels, more than 2^28"));
  CHECK_THAT(problem(1 << 14, 1 << 14), ContainsSubstring("16384 x 16384 pixels cannot be stored in"));
  CHECK_THAT(problem(0x7fffffff, 0x7fffffff), ContainsSubstring("the PNG is damaged: "));
}

TEST_CASE("the PNG writer's contract", "[unit]") {
  const auto problem = [](const at::Tensor& image, const std::map<std::string, std::string>& text = {}) {
    return message_of([&] { encode_png(image, text); });
  };
  CHECK_THAT(problem(at::zeros({2, 4, 4}, at::kByte)), ContainsSubstring("wanted [1 or 3, Y, X] of u8, got [2, 4, 4] of Byte"));
  CHECK_THAT(problem(at::zeros({3, 4, 4})), ContainsSubstring("of Float"));
  CHECK_THAT(problem(at::zeros({3, 0, 4}, at::kByte)), ContainsSubstring("0 x 4 pixels"));
  CHECK_THAT(problem(pattern(1), {{"", "x"}}), ContainsSubstring("'' is not a PNG keyword"));
  CHECK_THAT(problem(pattern(1), {{std::string(80, 'k'), "x"}}), ContainsSubstring("is not a PNG keyword"));
}

TEST_CASE("contact sheets", "[unit]") {
  at::Tensor images = at::zeros({5, 1, 2, 3});
  for (int64_t s = 0; s < 5; ++s) images[s].fill_(-1 + 0.5 * static_cast<double>(s));
  const at::Tensor sheet = contact_sheet(images, 2, 2, 1);
  REQUIRE(sheet.sizes() == at::IntArrayRef{1, 3 * 4 + 2, 2 * 6 + 1});
  CHECK(sheet.scalar_type() == at::kByte);
  CHECK(sheet[0][0][0].item<int>() == 0);
  CHECK(sheet[0][3][5].item<int>() == 0);
  CHECK(sheet[0][0][6].item<int>() == 128);  // the gap
  CHECK(sheet[0][0][7].item<int>() == 64);   // (-0.5 + 1) 127.5, rounded to even
  CHECK(sheet[0][5][0].item<int>() == 128);  // 0 -> 127.5
  CHECK(sheet[0][10][0].item<int>() == 255);
  CHECK(sheet[0][13][12].item<int>() == 128);  // the empty place
  CHECK(contact_sheet(images).sizes() == at::IntArrayRef{1, 2 * 2 + 2, 3 * 3 + 2 * 2});

  at::Tensor wild = at::zeros({1, 3, 1, 3}, at::kHalf);
  wild[0][0][0][0] = NAN;
  wild[0][0][0][1] = INFINITY;
  wild[0][0][0][2] = -7;
  CHECK(at::equal(contact_sheet(wild)[0][0], at::tensor({0, 255, 0}, at::kByte)));
  CHECK_THAT(message_of([] { contact_sheet(at::zeros({2, 2, 4, 4})); }), ContainsSubstring("contact_sheet: wanted a float tensor"));
  CHECK_THAT(message_of([] { contact_sheet(at::zeros({2, 1, 4, 4}), -1); }), ContainsSubstring("columns -1"));
}
