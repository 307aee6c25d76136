// Teacher and student side by side while a transfer runs: clips of the same seeds, one above the other.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>

namespace linden {

// clips [B, C, F, Y, X] -> [B, 1 or 3, F, Y, X] fp32 on the CPU in [-1, 1]. C = 1 and 3 are pictures and stay as they are. Of latents
// the first three channels are shown (the first, where there are two), scaled by the mean and three standard deviations
// of those of `reference` (clips of the same shape but B).
at::Tensor shown_channels(const at::Tensor& clips, const at::Tensor& reference);

// strip_<step>.png in `folder`: a group of rows a clip, the teacher's frames above the student's above those of `compared` (where defined), at
// most 8 clips and 16 frames evenly spaced. strip_<step>.apng: the clips moving, in the same order from the left. Returns the PNG.
std::filesystem::path write_strip(const std::filesystem::path& folder, int64_t step, const at::Tensor& teacher, const at::Tensor& student,
                                  const at::Tensor& compared = {}, int64_t frame_ms = 150);  // all [B, C, F, Y, X], of the same seeds

// One set of clips, moving, about square (teacher.apng, before.apng, after.apng). `reference`: the teacher's clips, which scale latents.
void write_moving_clips(const std::filesystem::path& file, const at::Tensor& clips, const at::Tensor& reference, int64_t frame_ms = 150);

}  // namespace linden
