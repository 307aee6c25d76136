// Numbers about a set of moving-digits clips: do they show what their captions say, and how far are they from real ones.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <string>

#include "core/config.h"
#include "data/clip_reader.h"
#include "evaluate/moments.h"

namespace linden {

struct ClipScore {
  double success = 0;          // digit and path right, each in kClipShare of the clip
  double digit_accuracy = 0;   // most frames are read as the caption's digit
  double motion_accuracy = 0;  // no other motion's path fits better
};
void visit_fields(FieldVisitor& v, ClipScore& c);
// digit, motion: [B] int64 on the CPU, what the captions say.
ClipScore score_clips(const ClipReading& reading, const at::Tensor& digit, const at::Tensor& motion);

// Features of all frames, and of all differences between two successive frames' features.
struct ClipMoments {
  Moments frames, differences;
};
ClipMoments clip_moments(const at::Tensor& frame_features);  // [B, F, W]

struct ClipDistance {
  double frames = 0, differences = 0;                  // Frechet distance
  double frames_percent = 0, differences_percent = 0;  // of the real clips' variance (the trace of the covariance)
};
void visit_fields(FieldVisitor& v, ClipDistance& c);
ClipDistance clip_distance(const ClipMoments& real, const ClipMoments& clips);

// Who measures, and what the real clips are.
struct ClipJudgeConfig {
  std::string judge;        // model folder, experiments/moving_digits/judge; empty: clips are not measured
  std::string guide;        // the guide's reading beside the judge's; empty: none
  int64_t num_real = 1000;  // real clips in each of the two sets that the distances stand on
  MovingDigitsConfig data;  // real clips of the test digits; frames are those of the clips that are measured
  int64_t data_seed = 0;
  ClipJudgeConfig() { data.split = "test"; }
};
void visit_fields(FieldVisitor& v, ClipJudgeConfig& c);

struct ClipSummary {
  int64_t num_clips = 0, frames = 0, num_real = 0;
  ClipScore judge, real_judge;  // of the clips, and of the real ones: what a perfect model would have
  bool has_guide = false;
  ClipScore guide, real_guide;
  ClipDistance distance, real_distance;  // clips to real ones; the second set of real clips to the first: the floor
};
void visit_fields(FieldVisitor& v, ClipSummary& c);

// Throws InputError where measure_clips() would of clips of so many frames: a judge, a guide or real clips that are not there. For before a long run.
void require_measurable(const ClipJudgeConfig& config, int64_t frames, at::Device device);
// video: [B, 1, F, Y, X] in [-1, 1], B >= 2; digit, motion: [B] int64, what the captions say. Throws InputError.
ClipSummary measure_clips(const at::Tensor& video, const at::Tensor& digit, const at::Tensor& motion, const ClipJudgeConfig& config, at::Device device);

// As lines for people; the real clips' own numbers stand beside.
std::string describe_clips(const ClipSummary& summary);

}  // namespace linden
