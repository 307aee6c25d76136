// Moving-digits clips to be measured, from wherever they lie.
#pragma once

#include <cstdint>
#include <string>

#include "evaluate/clip_metrics.h"

namespace linden {

struct ClipSet {
  at::Tensor video;          // [S, 1, F, Y, X] fp32 in [-1, 1]
  at::Tensor digit, motion;  // [S] int64: what the captions say
};

inline constexpr const char* kRealClips = "moving_digits";

// path: a run folder of `linden sample` or its samples.h5; or "moving_digits", real clips of config.data, none of which is
// among those that distances are taken to. limit: the first so many; 0: all, of real ones num_real. InputError: nothing there,
// no clips, no captions, fewer than two.
ClipSet load_clip_set(const std::string& path, int64_t limit, const ClipJudgeConfig& config);

}  // namespace linden
