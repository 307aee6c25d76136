// Clips made by tensor operations are the clips of the set, bit for bit.
#include "data/clip_bank.h"

#include <ATen/ATen.h>

#include <catch2/catch_test_macros.hpp>
#include <numeric>

#include "core/error.h"
#include "tests/support/support.h"

using namespace linden;
using linden::test::message_of;

namespace {

MovingDigitsConfig shipped(int64_t frames) {
  MovingDigitsConfig config;
  config.source = "shipped";
  config.frames = frames;
  return config;
}

void require_equal_clips(const MovingDigitsConfig& config, at::Device device) {
  const MovingDigits set(config, 5);
  const ClipBank bank = ClipBank(set, 200).to(device);
  std::vector<int64_t> rows(200);
  std::iota(rows.rbegin(), rows.rend(), 0);
  const Clips wanted = set.clips(rows);
  const at::Tensor index = at::tensor(rows, at::kLong).to(device);
  const at::Tensor video = bank.clips(index);
  CHECK(at::equal(video.cpu(), wanted.video));
  CHECK(at::equal(bank.digit.index_select(0, index).cpu(), wanted.digit));
  CHECK(at::equal(bank.motion.index_select(0, index).cpu(), wanted.motion));
  CHECK(clip_caption_table().decode(bank.captions.index_select(0, index).cpu()) == wanted.captions);
  const at::Tensor frame = index.remainder(config.frames - 1);
  const at::Tensor pairs = bank.clips(index, frame, 2);
  for (int64_t b = 0; b < 200; ++b) CHECK(at::equal(pairs[b], video[b].narrow(1, frame[b].item<int64_t>(), 2)));
}

}  // namespace

TEST_CASE("clips by tensor operations equal the set's, whatever the layout of a frame", "[unit]") {
  require_equal_clips(shipped(8), at::kCPU);
  MovingDigitsConfig other = shipped(5);
  other.size = 40;
  other.digit_size = 12;
  other.step = 7;
  other.texture_cells = 5;
  require_equal_clips(other, at::kCPU);
  other.texture_cells = 0;
  require_equal_clips(other, at::kCPU);
}

TEST_CASE("clips on a card equal those on the CPU", "[cuda]") {
  if (!at::hasCUDA()) SKIP("there is no CUDA card");
  require_equal_clips(shipped(12), at::kCUDA);
}

TEST_CASE("the step between two frames is the motion, turned at the border", "[unit]") {
  const MovingDigits set(shipped(12), 5);
  const ClipBank bank(set, 100);
  const at::Tensor rows = at::arange(100);
  for (const int64_t f : {0, 1}) CHECK(at::equal(bank.steps(rows, at::full({100}, f, at::kLong)), bank.motion));
  for (int64_t f = 2; f < 11; ++f) {
    const at::Tensor steps = bank.steps(rows, at::full({100}, f, at::kLong));
    for (int64_t b = 0; b < 100; ++b) {
      const auto path = set.path(set.content(b));
      const Motion moved = motions()[steps[b].item<int64_t>()];
      REQUIRE(moved.dy == path[f + 1].y - path[f].y);
      REQUIRE(moved.dx == path[f + 1].x - path[f].x);
    }
  }
  CHECK(message_of([&] { ClipBank(set, 0); }) == "ClipBank: 0 clips, wanted at least 1");
}
