// What an independent classifier reads in a set of samples; it never guides.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "align/config.h"

namespace linden {

inline constexpr double kNotMeasured = std::numeric_limits<double>::quiet_NaN();  // null in JSON

struct JudgeReading {
  at::Tensor logits;    // [S, K] on the CPU
  at::Tensor features;  // [S, F] on the CPU, the judge's penultimate layer
};

// samples: [S, C, Y, X] in [-1, 1], on any device; the judge runs on `device`. Throws InputError if the folder holds no classifier.
JudgeReading read_with_judge(const std::string& folder, const at::Tensor& samples, at::Device device);

struct JudgedDistances {
  double samples = kNotMeasured;  // Frechet distance of the samples to judge.reference
  double real = kNotMeasured;     // of at most as many samples of judge.held_out: the floor at this count
};

// A missing judge, reference or held-out set is found before the work, not after. Throws InputError.
void check_judge(const JudgeConfig& config, const std::vector<int64_t>& classes, at::Device device);

// features: [S, F], read_with_judge's. classes: what the real samples are narrowed to; empty: all.
JudgedDistances judged_distances(const JudgeConfig& config, const at::Tensor& features, const std::vector<int64_t>& classes, at::Device device);

}  // namespace linden
