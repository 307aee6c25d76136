// Samples of the network while it trains: pictures as a contact sheet (PNG), points as a scatter plot (SVG).
#pragma once

#include <cstdint>
#include <filesystem>

#include "train/objective.h"
#include "train/trainee.h"

namespace linden {

// Draws `count` samples from the same initial noise every time and writes samples_<step>.{png,svg} into
// `folder`; returns the file. The module is in eval mode meanwhile.
std::filesystem::path write_sample_grid(const std::filesystem::path& folder, int64_t step, const Trainee& trainee, const NoisePredictionTask& task,
                                        at::Device device, uint64_t seed, int64_t count);

// The same of a video model: clips of digit 0 .. 9 and of the motions in turn, one a row as a strip of frames
// (samples_<step>.png), and moving (samples_<step>.apng).
std::filesystem::path write_clip_grid(const std::filesystem::path& folder, int64_t step, const Trainee& trainee, const FlowMatchingTask& task,
                                      at::Device device, uint64_t seed, int64_t count);

}  // namespace linden
