// Strips: which pixel belongs to whom.
#include <ATen/ATen.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "core/files.h"
#include "io/png.h"
#include "tests/support/support.h"
#include "transfer/strip.h"

namespace linden {
namespace {

using Catch::Matchers::ContainsSubstring;

TEST_CASE("a strip has the teacher's frames above the student's", "[unit]") {
  const test::TemporaryFolder folder;
  const at::Tensor teacher = at::full({2, 1, 3, 8, 8}, -1.0), student = at::full({2, 1, 3, 8, 8}, 1.0);
  student[1][0][2].fill_(0);  // the last frame of the second clip
  const auto file = write_strip(folder.path, 40, teacher, student);
  CHECK(file == folder / "strip_40.png");
  const at::Tensor strip = read_png(file);  // scale 4: frames of 32, gaps of 1, pairs 8 apart
  CHECK(strip.sizes() == at::IntArrayRef({1, 2 * (2 * 32 + 1) + 8, 3 * 32 + 2}));
  const auto pixel = [&](int64_t row, int64_t column) { return strip[0][row][column].item<int64_t>(); };
  CHECK(pixel(0, 0) == 0);
  CHECK(pixel(33, 0) == 255);
  CHECK(pixel(32, 0) == 128);   // the gap within a pair
  CHECK(pixel(65, 50) == 255);  // the gap between pairs
  CHECK(pixel(73, 97) == 0);
  CHECK(pixel(73 + 33, 97) == 128);  // the frame that was made grey
  CHECK(pixel(73 + 33, 40) == 255);
  CHECK_THAT(read_text_file(folder / "strip_40.apng").substr(0, 60), ContainsSubstring("acTL"));
}

TEST_CASE("long and many clips are thinned", "[unit]") {
  const test::TemporaryFolder folder;
  at::Tensor clips = at::zeros({10, 3, 81, 4, 4});
  clips.select(2, 80).fill_(1);
  const at::Tensor strip = read_png(write_strip(folder.path, 1, clips, clips));
  CHECK(strip.sizes() == at::IntArrayRef({3, 8 * (2 * 16 + 1) + 7 * 8, 16 * 16 + 15}));
  CHECK(strip[0][0][16 * 16 + 14].item<int64_t>() == 255);  // the last frame is there
}

TEST_CASE("latents show their first three channels on the teacher's scale", "[unit]") {
  at::Tensor teacher = at::randn({4, 16, 3, 4, 4}) * 5 + 7;
  const at::Tensor shown = shown_channels(teacher, teacher);
  CHECK(shown.sizes() == at::IntArrayRef({4, 3, 3, 4, 4}));
  CHECK(shown.abs().max().item<double>() <= 1);
  CHECK(std::abs(shown.mean().item<double>()) < 0.02);
  CHECK(std::abs(shown.std().item<double>() - 1.0 / 3) < 0.02);
  CHECK(at::allclose(shown_channels(teacher + 5, teacher).mean(), shown.mean() + 1.0 / 3, 0, 0.05));  // a shift is seen
  CHECK(shown_channels(at::randn({1, 2, 3, 4, 4}), at::randn({1, 2, 3, 4, 4})).size(1) == 1);
  const at::Tensor picture = at::randn({1, 3, 2, 4, 4});
  CHECK(at::equal(shown_channels(picture, picture), picture));
  const test::TemporaryFolder folder;
  write_strip(folder.path, 2, teacher, teacher * 2);
  write_moving_clips(folder / "before.apng", teacher, teacher);
  CHECK(std::filesystem::file_size(folder / "before.apng") > 100);
  CHECK_THAT(test::message_of([&] { write_strip(folder.path, 3, teacher, teacher.narrow(0, 0, 2)); }), ContainsSubstring("wanted clips of one shape"));
}

}  // namespace
}  // namespace linden
