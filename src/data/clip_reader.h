// What a verifier reads in a moving-digits clip: the digit of each frame, and how well the eight motions fit.
//
// Two verifiers, built and trained apart, so that a clip which merely fools the guide does not fool the judge:
//   guide   a DigitClassifier on frames; another on pairs of frames that names the step between them
//   judge   a DigitJudge on frames; the centroid of what is brighter than the background that the clip itself shows
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "data/moving_digits.h"

namespace linden {

class ImageClassifier;

struct ClipReading {
  at::Tensor digit_share;     // [B, 10] fp32: share of the frames that are read as this digit
  at::Tensor digit_log_prob;  // [B, 10] fp32: mean over frames of log p(digit | frame)
  at::Tensor path_share;      // [B, 8] fp32: share of the clip that follows the best legal path of this motion
  at::Tensor path_error;      // [B, 8] fp32: how far it is off that path; the smallest is the motion that is read
};

// What has to be right at least: 7 of 8 frames.
inline constexpr double kClipShare = 0.87;
// Whether digit[b] and motion[b] are each right in that share: [B] bool. digit, motion: [B] int64 on the CPU.
at::Tensor clip_success(const ClipReading& reading, const at::Tensor& digit, const at::Tensor& motion);

class ClipReader {
 public:
  virtual ~ClipReader() = default;
  // video: [B, 1, F, Y, X] in [-1, 1], F >= 3, frames as in `layout`, any device. The result lies on the CPU.
  virtual ClipReading read(const at::Tensor& video) const = 0;
  // Of the network that reads frames: [B, F, W] fp32 on the CPU.
  virtual at::Tensor frame_features(const at::Tensor& video) const = 0;
  virtual std::string name() const = 0;
};

// `layout`: rows and columns of a frame, size of the digit and of a step; the rest is not looked at.
// Guide: <folder>/digit and <folder>/step, two model folders. Judge: a model folder. Throws InputError: no such folder, not
// ten digits or eight steps, other channels.
std::unique_ptr<ClipReader> load_clip_guide(const std::filesystem::path& folder, const MovingDigitsConfig& layout, at::Device device);
std::unique_ptr<ClipReader> load_clip_judge(const std::filesystem::path& folder, const MovingDigitsConfig& layout, at::Device device);

// Where the digit is in each frame, (y, x) in pixels: [B, F, 2] fp32; NaN in a frame without ink. The darkest that a pixel
// becomes in the clip is its background, what is brighter there is the digit's cover.
at::Tensor digit_centroids(const at::Tensor& video);

// Every legal path of a motion, the places in steps: [K, F, 2] int64.
at::Tensor legal_paths(const MovingDigitsConfig& layout, int64_t motion, int64_t frames);

}  // namespace linden
