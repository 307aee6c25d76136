// What guide and judge read in clips: the judge's centroids and paths with a made-up network, both with the shipped ones.
#include "data/clip_reader.h"

#include <ATen/ATen.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <numeric>

#include "core/error.h"
#include "data/digits.h"
#include "models/image_classifier.h"
#include "tests/support/support.h"

using namespace linden;
using Catch::Matchers::ContainsSubstring;
using linden::test::message_of;
using linden::test::TemporaryFolder;

namespace {

MovingDigitsConfig shipped(const std::string& split = "test") {
  MovingDigitsConfig config;
  config.source = "shipped";
  config.split = split;
  return config;
}

Clips first_clips(const MovingDigitsConfig& config, int64_t count) {
  std::vector<int64_t> rows(static_cast<size_t>(count));
  std::iota(rows.begin(), rows.end(), 0);
  return MovingDigits(config, 2).clips(rows);
}

std::filesystem::path shipped_reader(const char* name) { return shipped_digits_folder().parent_path() / "moving_digits" / name; }

}  // namespace

TEST_CASE("centroids move by exactly the step; noise below the threshold does not pull them", "[unit]") {
  const MovingDigits set(shipped(), 2);
  const Clips clips = first_clips(shipped(), 40);
  const at::Tensor centroids = digit_centroids(clips.video);
  CHECK(centroids.sizes() == at::IntArrayRef({40, 8, 2}));
  at::manual_seed(0);
  const at::Tensor noisy = digit_centroids(clips.video + 0.03 * at::randn(clips.video.sizes()));
  for (int64_t b = 0; b < 40; ++b) {
    const auto path = set.path(set.content(b));
    for (int64_t f = 1; f < 8; ++f) {
      const at::Tensor moved = at::tensor({path[f].y - path[f - 1].y, path[f].x - path[f - 1].x}, at::kLong) * 4;
      REQUIRE(at::allclose(centroids[b][f] - centroids[b][f - 1], moved.to(at::kFloat), 0, 1e-3));
    }
  }
  CHECK((noisy - centroids).abs().max().item<float>() < 0.5);
  CHECK(digit_centroids(at::full({1, 1, 8, 32, 32}, -1.0f)).isnan().all().item<bool>());
}

TEST_CASE("legal paths: every start once, the motion first", "[unit]") {
  CHECK(legal_paths(shipped(), 0, 8).sizes() == at::IntArrayRef({15, 8, 2}));
  const at::Tensor diagonal = legal_paths(shipped(), 5, 3);  // up-left
  CHECK(diagonal.sizes() == at::IntArrayRef({9, 3, 2}));
  CHECK(diagonal.diff(1, 1).eq(-1).all().item<bool>());
}

TEST_CASE("the judge's path: real clips follow their own motion and no other; a jump, a still digit and an empty clip do not", "[unit]") {
  TemporaryFolder folder;
  make_classifier("DigitJudge")->save(folder / "judge", at::kFloat);
  const auto judge = load_clip_judge(folder / "judge", shipped(), at::kCPU);
  const Clips clips = first_clips(shipped(), 100);
  const ClipReading reading = judge->read(clips.video);
  CHECK(reading.path_error.argmin(1).eq(clips.motion).all().item<bool>());
  CHECK(reading.path_share.gather(1, clips.motion.unsqueeze(1)).eq(1).all().item<bool>());
  CHECK(reading.path_share.ge(kClipShare).sum(1).eq(1).all().item<bool>());
  CHECK(judge->frame_features(clips.video).sizes() == at::IntArrayRef({100, 8, 64}));
  at::Tensor frozen = clips.video.clone();
  frozen.slice(2, 4, 8).copy_(clips.video.slice(2, 3, 4).expand({100, 1, 4, 32, 32}));
  CHECK(judge->read(frozen).path_share.lt(kClipShare).all().item<bool>());
  CHECK(judge->read(at::full({2, 1, 8, 32, 32}, -1.0f)).path_share.eq(0).all().item<bool>());
  CHECK_THAT(message_of([&] {
               judge->read(at::zeros({2, 1, 8, 16, 16}));
             }),
             ContainsSubstring("the clips are [2, 1, 8, 16, 16], wanted [B, 1, 3 or more, 32, 32]"));
}

TEST_CASE("a verifier that reads something else is refused", "[unit]") {
  TemporaryFolder folder;
  make_classifier("DigitClassifier")->save(folder / "digit", at::kFloat);
  make_classifier("DigitClassifier")->save(folder / "step", at::kFloat);
  CHECK_THAT(message_of([&] { load_clip_guide(folder.path, shipped(), at::kCPU); }),
             ContainsSubstring("step: takes 1 channels and knows 10 classes, wanted 2 and 8"));
  CHECK_THROWS_AS(load_clip_judge(folder / "nothing", shipped(), at::kCPU), InputError);
}

TEST_CASE("guide and judge, as shipped, read real clips of digits that they have not seen", "[unit]") {
  MovingDigitsConfig config = shipped();
  config.frames = 12;
  const Clips clips = first_clips(config, 400);
  const auto guide = load_clip_guide(shipped_reader("guide"), config, at::kCPU), judge = load_clip_judge(shipped_reader("judge"), config, at::kCPU);
  for (const ClipReader* reader : {guide.get(), judge.get()}) {
    const ClipReading reading = reader->read(clips.video);
    INFO(reader->name());
    CHECK(clip_success(reading, clips.digit, clips.motion).to(at::kDouble).mean().item<double>() >= 0.95);
    CHECK(clip_success(reading, (clips.digit + 1).remainder(10), clips.motion).sum().item<int64_t>() <= 8);
    CHECK(clip_success(reading, clips.digit, (clips.motion + 1).remainder(8)).sum().item<int64_t>() <= 8);
    CHECK(reading.path_error.argmin(1).eq(clips.motion).to(at::kDouble).mean().item<double>() >= 0.98);
  }
}
