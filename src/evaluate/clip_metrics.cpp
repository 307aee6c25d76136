#include "evaluate/clip_metrics.h"

#include <ATen/ATen.h>

#include <numeric>

#include "core/error.h"
#include "evaluate/distances.h"

namespace linden {
namespace {

double share(const at::Tensor& flags) { return flags.to(at::kDouble).mean().item<double>(); }

struct RealClips {
  Clips first, second;  // num_real each, no clip in both
};

RealClips real_clips(const ClipJudgeConfig& config, int64_t frames) {
  MovingDigitsConfig data = config.data;
  data.frames = frames;
  const MovingDigits set(data, static_cast<uint64_t>(config.data_seed));
  std::vector<int64_t> indices(static_cast<size_t>(config.num_real));
  std::iota(indices.begin(), indices.end(), 0);
  RealClips clips{set.clips(indices), {}};
  std::iota(indices.begin(), indices.end(), config.num_real);
  clips.second = set.clips(indices);
  return clips;
}

ClipScore score(const ClipReader& reader, const Clips& clips) { return score_clips(reader.read(clips.video), clips.digit, clips.motion); }

}  // namespace

void visit_fields(FieldVisitor& v, ClipScore& c) {
  visit(v, Field("success", "share of clips with the right digit in 87 % of the frames and the right path in 87 % of the clip"), c.success);
  visit(v, Field("digit_accuracy", "share of clips most of whose frames show the caption's digit"), c.digit_accuracy);
  visit(v, Field("motion_accuracy", "share of clips whose path fits the caption's motion best"), c.motion_accuracy);
}

void visit_fields(FieldVisitor& v, ClipDistance& c) {
  visit(v, Field("frames", "Frechet distance of the judge's features of frames"), c.frames);
  visit(v, Field("differences", "the same of differences between successive frames' features"), c.differences);
  visit(v, Field("frames_percent", "frames, in percent of the real clips' variance"), c.frames_percent);
  visit(v, Field("differences_percent", "differences, in percent of the real clips' variance"), c.differences_percent);
}

void visit_fields(FieldVisitor& v, ClipJudgeConfig& c) {
  visit(v, Field("judge", "model folder of the clip judge; empty: clips are not measured").changeable(), c.judge);
  visit(v, Field("guide", "folder of the clip guide, whose reading is shown beside the judge's; empty: none").changeable(), c.guide);
  visit(v, Field("num_real", "real clips in each of the two sets that distances are taken to").between(2, 1e6).changeable(), c.num_real);
  visit(v, Field("data", "the real clips; frames follow the clips that are measured"), c.data);
  visit(v, Field("data_seed", "seed of the real clips").at_least(0).changeable(), c.data_seed);
}

void visit_fields(FieldVisitor& v, ClipSummary& c) {
  visit(v, Field("num_clips", "clips measured"), c.num_clips);
  visit(v, Field("frames", "frames of a clip"), c.frames);
  visit(v, Field("num_real", "real clips"), c.num_real);
  visit(v, Field("judge", "the clips as the judge reads them"), c.judge);
  visit(v, Field("real_judge", "real clips as the judge reads them"), c.real_judge);
  if (c.has_guide) {
    visit(v, Field("guide", "the clips as the guide reads them"), c.guide);
    visit(v, Field("real_guide", "real clips as the guide reads them"), c.real_guide);
  }
  visit(v, Field("distance", "of the clips to real ones"), c.distance);
  visit(v, Field("real_distance", "of other real clips to real ones: what a perfect model would have"), c.real_distance);
}

ClipScore score_clips(const ClipReading& reading, const at::Tensor& digit, const at::Tensor& motion) {
  return {share(clip_success(reading, digit, motion)), share(reading.digit_share.argmax(1).eq(digit)), share(reading.path_error.argmin(1).eq(motion))};
}

ClipMoments clip_moments(const at::Tensor& frame_features) {
  return {moments_of(frame_features.flatten(0, 1)), moments_of(frame_features.diff(1, 1).flatten(0, 1))};
}

ClipDistance clip_distance(const ClipMoments& real, const ClipMoments& clips) {
  ClipDistance out;
  out.frames = frechet_distance(real.frames, clips.frames);
  out.differences = frechet_distance(real.differences, clips.differences);
  out.frames_percent = 100 * out.frames / real.frames.covariance.trace().item<double>();
  out.differences_percent = 100 * out.differences / real.differences.covariance.trace().item<double>();
  return out;
}

void require_measurable(const ClipJudgeConfig& config, int64_t frames, at::Device device) {
  check_input(frames > kFreeSteps, "clips.judge reads clips of {} frames or more, and these have {}: make longer ones, or leave clips.judge empty",
              kFreeSteps + 1, frames);
  load_clip_judge(config.judge, config.data, device);
  if (!config.guide.empty()) load_clip_guide(config.guide, config.data, device);
  ClipJudgeConfig few = config;
  few.num_real = 1;
  real_clips(few, frames);
}

ClipSummary measure_clips(const at::Tensor& video, const at::Tensor& digit, const at::Tensor& motion, const ClipJudgeConfig& config, at::Device device) {
  check(video.dim() == 5 && video.size(0) >= 2 && digit.sizes() == video.sizes().slice(0, 1) && motion.sizes() == digit.sizes(),
        "measure_clips: wanted [B, 1, F, Y, X] with B >= 2, and B digits and motions");
  check_input(video.size(1) == 1 && video.size(3) == config.data.size && video.size(4) == config.data.size,
              "the clips have {} channels and frames of {}x{}, but moving digits are of 1 channel and {}x{} (clips.data.size)", video.size(1), video.size(3),
              video.size(4), config.data.size, config.data.size);
  const auto judge = load_clip_judge(config.judge, config.data, device);
  const RealClips real = real_clips(config, video.size(2));
  ClipSummary out;
  out.num_clips = video.size(0);
  out.frames = video.size(2);
  out.num_real = config.num_real;
  out.judge = score_clips(judge->read(video), digit, motion);
  out.real_judge = score(*judge, real.second);
  if (!config.guide.empty()) {
    const auto guide = load_clip_guide(config.guide, config.data, device);
    out.has_guide = true;
    out.guide = score_clips(guide->read(video), digit, motion);
    out.real_guide = score(*guide, real.second);
  }
  const ClipMoments wanted = clip_moments(judge->frame_features(real.first.video));
  out.distance = clip_distance(wanted, clip_moments(judge->frame_features(video)));
  out.real_distance = clip_distance(wanted, clip_moments(judge->frame_features(real.second.video)));
  return out;
}

std::string describe_clips(const ClipSummary& s) {
  std::string text = fmt::format("{} clips of {} frames beside {} real ones\n{:<34}{:>10}{:>10}\n", s.num_clips, s.frames, s.num_real, "", "clips", "real");
  const auto row = [&](const std::string& name, double clips, double real) { text += fmt::format("{:<34}{:>10.4f}{:>10.4f}\n", name, clips, real); };
  const auto score_rows = [&](const std::string& who, const ClipScore& clips, const ClipScore& real) {
    row(who + ": success", clips.success, real.success);
    row(who + ": digit", clips.digit_accuracy, real.digit_accuracy);
    row(who + ": motion", clips.motion_accuracy, real.motion_accuracy);
  };
  score_rows("judge", s.judge, s.real_judge);
  if (s.has_guide) score_rows("guide", s.guide, s.real_guide);
  row("Frechet distance, frames", s.distance.frames, s.real_distance.frames);
  row("Frechet distance, differences", s.distance.differences, s.real_distance.differences);
  row("  % of real variance, frames", s.distance.frames_percent, s.real_distance.frames_percent);
  row("  % of real variance, differences", s.distance.differences_percent, s.real_distance.differences_percent);
  return text;
}

}  // namespace linden
