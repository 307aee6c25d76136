#include "evaluate/clip_metrics.h"

#include <ATen/ATen.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <functional>
#include <numeric>

#include "core/error.h"
#include "data/digits.h"
#include "models/image_classifier.h"
#include "tests/support/support.h"

using namespace linden;
using Catch::Matchers::ContainsSubstring;
using linden::test::message_of;

namespace {

ClipJudgeConfig shipped_judge() {
  const auto folder = shipped_digits_folder().parent_path() / "moving_digits";
  ClipJudgeConfig config;
  config.judge = (folder / "judge").string();
  config.guide = (folder / "guide").string();
  config.num_real = 150;
  config.data.source = "shipped";
  return config;
}

Clips clips_from(int64_t first, int64_t count, int64_t frames) {
  MovingDigitsConfig data = shipped_judge().data;
  data.frames = frames;
  std::vector<int64_t> rows(static_cast<size_t>(count));
  std::iota(rows.begin(), rows.end(), first);
  return MovingDigits(data, 0).clips(rows);
}

}  // namespace

TEST_CASE("success asks for the digit and the path in 87 % of the clip", "[unit]") {
  ClipReading reading;
  reading.digit_share = at::zeros({4, 10});
  reading.path_share = at::zeros({4, 8});
  reading.path_error = at::ones({4, 8});
  for (int64_t b = 0; b < 4; ++b) {
    reading.digit_share[b][3] = b == 1 ? 0.75f : 0.875f;
    reading.path_share[b][5] = b == 2 ? 0.75f : 0.9f;
    reading.path_error[b][b == 3 ? 6 : 5] = 0.1f;
  }
  const ClipScore score = score_clips(reading, at::full({4}, 3, at::kLong), at::full({4}, 5, at::kLong));
  CHECK(score.success == 0.5);
  CHECK(score.digit_accuracy == 1.0);
  CHECK(score.motion_accuracy == 0.75);
}

TEST_CASE("moments of frames and of differences", "[unit]") {
  const at::Tensor features = at::arange(2 * 3 * 2, at::kFloat).reshape({2, 3, 2}).square();
  const ClipMoments moments = clip_moments(features);
  CHECK(moments.frames.count == 6);
  CHECK(moments.differences.count == 4);
  CHECK(at::allclose(moments.differences.mean, (features.slice(1, 1) - features.slice(1, 0, 2)).flatten(0, 1).to(at::kDouble).mean(0)));
  const ClipDistance same = clip_distance(moments, moments);
  CHECK(std::abs(same.frames) < 1e-6);
  CHECK(std::abs(same.differences_percent) < 1e-6);
  const ClipDistance moved = clip_distance(moments, clip_moments(features + 2));
  CHECK(std::abs(moved.frames - 8) < 1e-6);  // 2 features, moved by 2 each
  CHECK(std::abs(moved.differences) < 1e-6);
  CHECK(std::abs(moved.frames_percent - 800 / moments.frames.covariance.trace().item<double>()) < 1e-9);
}

TEST_CASE("real clips are near their own floor; a clip that stands still is not", "[unit]") {
  const Clips real = clips_from(300, 150, 8);
  const ClipSummary summary = measure_clips(real.video, real.digit, real.motion, shipped_judge(), at::kCPU);
  CHECK(summary.judge.success > 0.9);
  CHECK(summary.guide.success > 0.9);
  CHECK(summary.real_judge.success > 0.9);
  CHECK(summary.distance.frames_percent < 3 * summary.real_distance.frames_percent);
  const at::Tensor still = real.video.slice(2, 0, 1).expand({150, 1, 8, 32, 32});
  const ClipSummary bad = measure_clips(still, real.digit, real.motion, shipped_judge(), at::kCPU);
  CHECK(bad.judge.success == 0);
  CHECK(bad.guide.success < 0.1);
  CHECK(bad.distance.differences > 10 * bad.real_distance.differences);
  CHECK_THAT(describe_clips(bad),
             ContainsSubstring("150 clips of 8 frames beside 150 real ones") && ContainsSubstring("judge: success") && ContainsSubstring("guide: motion"));
  CHECK_THAT(message_of([&] {
               measure_clips(at::zeros({2, 1, 8, 16, 16}), real.digit.slice(0, 0, 2), real.motion.slice(0, 0, 2), shipped_judge(), at::kCPU);
             }),
             ContainsSubstring("the clips have 1 channels and frames of 16x16, but moving digits are of 1 channel and 32x32"));
}

TEST_CASE("what clips are measured with is looked for before there are any", "[unit]") {
  const auto refused = [](const std::function<void(ClipJudgeConfig&)>& change, int64_t frames) {
    ClipJudgeConfig config = shipped_judge();
    change(config);
    return message_of([&] { require_measurable(config, frames, at::kCPU); });
  };
  CHECK(refused([](ClipJudgeConfig&) {}, 8).empty());
  CHECK_THAT(refused([](ClipJudgeConfig& c) { c.judge = "nowhere"; }, 8), ContainsSubstring("nowhere"));
  CHECK_THAT(refused([](ClipJudgeConfig& c) { c.guide = "nobody"; }, 8), ContainsSubstring("nobody"));
  CHECK_THAT(refused([](ClipJudgeConfig& c) { c.data.source = "/nothing"; }, 8), ContainsSubstring("/nothing"));
  CHECK_THAT(refused([](ClipJudgeConfig&) {}, 2), ContainsSubstring("reads clips of 3 frames or more, and these have 2"));
}
