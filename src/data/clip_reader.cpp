#include "data/clip_reader.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/ranges.h>

#include "core/error.h"
#include "models/image_classifier.h"

namespace linden {
namespace {

constexpr int64_t kFrameBatch = 2048;
constexpr double kInk = 0.25;       // cover below this is taken for noise
constexpr double kMaxOffset = 4;    // of a digit's centroid from the middle of its box, pixels
constexpr double kMaxDistance = 1;  // of the centroid from the path, pixels
constexpr float kNowhere = 1e3f;    // instead of NaN

void require_clips(const at::Tensor& video, const MovingDigitsConfig& layout) {
  check(video.dim() == 5 && video.size(1) == 1 && video.size(2) > kFreeSteps && video.size(3) == layout.size && video.size(4) == layout.size,
        "ClipReader: the clips are [{}], wanted [B, 1, {} or more, {}, {}]", fmt::join(video.sizes(), ", "), kFreeSteps + 1, layout.size, layout.size);
}

std::shared_ptr<ImageClassifier> load_reader(const std::filesystem::path& folder, int64_t channels, int64_t classes, at::Device device) {
  auto classifier = load_classifier(folder, device);
  check_input(classifier->in_channels() == channels && classifier->num_classes() == classes, "{}: takes {} channels and knows {} classes, wanted {} and {}",
              folder.string(), classifier->in_channels(), classifier->num_classes(), channels, classes);
  return classifier;
}

// apply(images [b, C, Y, X] on the device) of all images, a batch at a time, gathered on the CPU: [N, ...]
template <class Apply>
at::Tensor in_batches(const at::Tensor& images, at::Device device, Apply&& apply) {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> parts;
  for (const at::Tensor& part : images.split(kFrameBatch)) parts.push_back(apply(part.to(device, at::kFloat)).cpu());
  return at::cat(parts);
}

at::Tensor frames_of(const at::Tensor& video) { return video.transpose(1, 2).flatten(0, 1); }  // [B F, 1, Y, X]

void read_digits(ImageClassifier& classifier, const at::Tensor& video, at::Device device, ClipReading& out) {
  const at::Tensor log_prob = in_batches(frames_of(video), device, [&](const at::Tensor& x) {
                                return classifier.logits(x).log_softmax(1);
                              }).reshape({video.size(0), video.size(2), -1});  // [B, F, 10]
  out.digit_log_prob = log_prob.mean(1);
  out.digit_share = at::one_hot(log_prob.argmax(2), log_prob.size(2)).to(at::kFloat).mean(1);
}

at::Tensor features_of(ImageClassifier& classifier, const at::Tensor& video, at::Device device) {
  return in_batches(frames_of(video), device, [&](const at::Tensor& x) { return classifier.features(x); }).reshape({video.size(0), video.size(2), -1});
}

// [K, F - 1]: the place in motions() of each step of the paths [K, F, 2].
at::Tensor steps_of(const at::Tensor& paths) {
  const at::Tensor moved = paths.diff(1, 1);
  at::Tensor steps = at::full({moved.size(0), moved.size(1)}, -1, at::kLong);
  for (size_t i = 0; i < motions().size(); ++i)
    steps.masked_fill_(moved.select(2, 0).eq(motions()[i].dy) & moved.select(2, 1).eq(motions()[i].dx), static_cast<int64_t>(i));
  return steps;
}

class ClipGuide final : public ClipReader {
 public:
  ClipGuide(const std::filesystem::path& folder, const MovingDigitsConfig& layout, at::Device device)
      : layout_(layout),
        device_(device),
        digit_(load_reader(folder / "digit", 1, 10, device)),
        step_(load_reader(folder / "step", 2, static_cast<int64_t>(motions().size()), device)) {}

  ClipReading read(const at::Tensor& video) const override {
    require_clips(video, layout_);
    ClipReading out;
    read_digits(*digit_, video, device_, out);
    const int64_t batch = video.size(0), frames = video.size(2);
    const at::Tensor pairs = at::cat({video.slice(2, 0, frames - 1), video.slice(2, 1, frames)}, 1);  // [B, 2, F-1, Y, X]
    const at::Tensor log_prob = in_batches(frames_of(pairs), device_, [&](const at::Tensor& x) {
                                  return step_->logits(x).log_softmax(1);
                                }).reshape({batch, frames - 1, -1});  // [B, F-1, 8]
    const at::Tensor read = log_prob.argmax(2);
    for (int64_t m = 0; m < static_cast<int64_t>(motions().size()); ++m) {
      const at::Tensor steps = steps_of(legal_paths(layout_, m, frames));  // [K, F-1]
      const at::Tensor each = log_prob.unsqueeze(1)
                                  .expand({batch, steps.size(0), frames - 1, log_prob.size(2)})
                                  .gather(3, steps.reshape({1, steps.size(0), frames - 1, 1}).expand({batch, -1, -1, 1}))
                                  .squeeze(3);
      add_motion(out, each.neg().mean(2), read.unsqueeze(1).eq(steps).to(at::kFloat).mean(2));
    }
    return out;
  }
  at::Tensor frame_features(const at::Tensor& video) const override { return features_of(*digit_, video, device_); }
  std::string name() const override { return "clip guide"; }

  // The best path of the next motion: error, share [B, K].
  static void add_motion(ClipReading& out, const at::Tensor& error, const at::Tensor& share) {
    const at::Tensor best = error.argmin(1, /*keepdim=*/true);
    const at::Tensor best_error = error.gather(1, best), best_share = share.gather(1, best);
    out.path_error = out.path_error.defined() ? at::cat({out.path_error, best_error}, 1) : best_error;
    out.path_share = out.path_share.defined() ? at::cat({out.path_share, best_share}, 1) : best_share;
  }

 private:
  MovingDigitsConfig layout_;
  at::Device device_;
  std::shared_ptr<ImageClassifier> digit_, step_;
};

class ClipJudge final : public ClipReader {
 public:
  ClipJudge(const std::filesystem::path& folder, const MovingDigitsConfig& layout, at::Device device)
      : layout_(layout),
        device_(device),
        digit_(load_reader(folder, 1, 10, device)) {}

  ClipReading read(const at::Tensor& video) const override {
    require_clips(video, layout_);
    ClipReading out;
    read_digits(*digit_, video, device_, out);
    const at::Tensor centroids = digit_centroids(video).cpu().nan_to_num(kNowhere).unsqueeze(1);  // [B, 1, F, 2]
    for (int64_t m = 0; m < static_cast<int64_t>(motions().size()); ++m) {
      const at::Tensor middle = (legal_paths(layout_, m, video.size(2)) * layout_.step).to(at::kFloat) + 0.5 * static_cast<double>(layout_.digit_size - 1);
      const at::Tensor off = centroids - middle.unsqueeze(0);                                                 // [B, K, F, 2]
      const at::Tensor offset = std::get<0>(off.median(2, /*keepdim=*/true)).clamp(-kMaxOffset, kMaxOffset);  // the digit's own
      const at::Tensor distance = (off - offset).norm(2, 3);                                                  // [B, K, F]
      ClipGuide::add_motion(out, distance.mean(2), distance.le(kMaxDistance).to(at::kFloat).mean(2));
    }
    return out;
  }
  at::Tensor frame_features(const at::Tensor& video) const override { return features_of(*digit_, video, device_); }
  std::string name() const override { return "clip judge"; }

 private:
  MovingDigitsConfig layout_;
  at::Device device_;
  std::shared_ptr<ImageClassifier> digit_;
};

}  // namespace

at::Tensor clip_success(const ClipReading& reading, const at::Tensor& digit, const at::Tensor& motion) {
  const at::Tensor right = reading.digit_share.gather(1, digit.unsqueeze(1)).squeeze(1);
  const at::Tensor followed = reading.path_share.gather(1, motion.unsqueeze(1)).squeeze(1);
  return right.ge(kClipShare) & followed.ge(kClipShare);
}

std::unique_ptr<ClipReader> load_clip_guide(const std::filesystem::path& folder, const MovingDigitsConfig& layout, at::Device device) {
  return std::make_unique<ClipGuide>(folder, layout, device);
}
std::unique_ptr<ClipReader> load_clip_judge(const std::filesystem::path& folder, const MovingDigitsConfig& layout, at::Device device) {
  return std::make_unique<ClipJudge>(folder, layout, device);
}

at::Tensor digit_centroids(const at::Tensor& video) {
  const at::Tensor clip = video.select(1, 0).to(at::kFloat);  // [B, F, Y, X]
  const at::Tensor background = clip.amin(1, /*keepdim=*/true);
  const at::Tensor cover = ((clip - background) / (1 - background).clamp_min(1e-3)).clamp(0, 1);
  const at::Tensor ink = at::where(cover.gt(kInk), cover, at::zeros_like(cover));
  const at::Tensor mass = ink.sum({2, 3});
  const at::Tensor y = at::arange(clip.size(2), clip.options()).reshape({1, 1, -1, 1}), x = at::arange(clip.size(3), clip.options());
  return at::stack({(ink * y).sum({2, 3}) / mass, (ink * x).sum({2, 3}) / mass}, 2);  // 0 / 0 is NaN
}

at::Tensor legal_paths(const MovingDigitsConfig& layout, int64_t motion, int64_t frames) {
  const Motion& direction = motions()[static_cast<size_t>(motion)];
  const int64_t last = (layout.size - layout.digit_size) / layout.step;
  const PlaceRange rows = start_places(direction.dy, last), columns = start_places(direction.dx, last);
  std::vector<int64_t> places;
  for (int64_t y = rows.lowest; y <= rows.highest; ++y)
    for (int64_t x = columns.lowest; x <= columns.highest; ++x)
      for (const GridPlace& place : motion_path(direction, {y, x}, last, frames)) places.insert(places.end(), {place.y, place.x});
  return at::tensor(places, at::kLong).reshape({-1, frames, 2});
}

}  // namespace linden
