// Animated PNG: the chunks in their order, numbered without a gap; every frame's pixels come back.
#include "io/apng.h"

#include <ATen/ATen.h>

#include <catch2/catch_test_macros.hpp>

#include "core/error.h"
#include "io/png.h"
#include "tests/support/support.h"

using namespace linden;
using linden::test::message_of;

namespace {

struct Chunk {
  std::string type, data;
};

uint32_t u32(const std::string& bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  return value;
}

std::vector<Chunk> parse(const std::string& png) {
  std::vector<Chunk> chunks;
  for (size_t at = 8; at < png.size(); at += 12 + chunks.back().data.size()) chunks.push_back({png.substr(at + 4, 4), png.substr(at + 8, u32(png, at))});
  return chunks;
}

}  // namespace

TEST_CASE("an animated PNG has its frames, their time, and is a PNG of its first frame", "[unit]") {
  const at::Tensor frames = at::arange(3 * 3 * 5 * 4).reshape({3, 3, 5, 4}).to(at::kByte);
  const std::vector<Chunk> chunks = parse(encode_apng(frames, 120, {{"seed", "4"}}));
  std::string order;
  uint32_t number = 0;
  for (const Chunk& chunk : chunks) {
    order += chunk.type + " ";
    if (chunk.type == "fcTL") {
      CHECK(chunk.data.size() == 26);
      CHECK(u32(chunk.data, 4) == 4);  // columns
      CHECK(u32(chunk.data, 8) == 5);  // rows
      CHECK(u32(chunk.data, 20) == (120u << 16 | 1000u));
    }
    if (chunk.type == "fcTL" || chunk.type == "fdAT") CHECK(u32(chunk.data, 0) == number++);
  }
  CHECK(order == "IHDR acTL tEXt fcTL IDAT fcTL fdAT fcTL fdAT IEND ");
  CHECK(u32(chunks[1].data, 0) == 3);
  CHECK(u32(chunks[1].data, 4) == 0);
  for (int64_t f = 1, at = 6; f < 3; ++f, at += 2)  // what a plain PNG of that frame has in IDAT
    for (const Chunk& chunk : parse(encode_png(frames[f])))
      if (chunk.type == "IDAT") CHECK(chunk.data == chunks[static_cast<size_t>(at)].data.substr(4));

  test::TemporaryFolder folder;
  write_apng(folder / "clip.png", frames, 120, {{"seed", "4"}});
  std::map<std::string, std::string> text;
  CHECK(at::equal(read_png(folder / "clip.png", &text), frames[0]));  // libpng checks every chunk's sum
  CHECK(text["seed"] == "4");
  CHECK(message_of([&] { encode_apng(frames, 0); }) == "encode_apng: delay_ms is 0 (allowed 1..65535)");
  CHECK(message_of([&] { encode_apng(frames[0], 10); }) == "encode_apng: wanted [F, 1 or 3, Y, X] of u8 with F > 0, got [3, 5, 4]");
}

TEST_CASE("clips side by side, frame by frame", "[unit]") {
  const at::Tensor video = at::linspace(-1, 1, 3 * 1 * 4 * 2 * 2).reshape({3, 1, 4, 2, 2});
  const at::Tensor grid = clip_grid(video, 3, 2, 1);
  CHECK(grid.sizes() == at::IntArrayRef({4, 1, 4, 14}));
  for (int64_t f = 0; f < 4; ++f) CHECK(at::equal(grid[f], contact_sheet(video.select(2, f), 3, 2, 1)));
  CHECK(message_of([] { clip_grid(at::zeros({2, 1, 4, 4})); }) == "clip_grid: wanted [B, C, F, Y, X] with B, F > 0, got [2, 1, 4, 4]");
}

TEST_CASE("a page of pictures is one file, its texts escaped", "[unit]") {
  const std::string page = picture_page("a < b", {{"x & y", "png"}});
  CHECK(page.find("<h1>a &lt; b</h1>") != std::string::npos);
  CHECK(page.find("data:image/png;base64,cG5n\"") != std::string::npos);
  CHECK(page.find("<figcaption>x &amp; y</figcaption>") != std::string::npos);
}
