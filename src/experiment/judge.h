// What an independent classifier reads in a set of samples; it never guides.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>

namespace linden {

struct JudgeReading {
  at::Tensor logits;    // [S, K] on the CPU
  at::Tensor features;  // [S, F] on the CPU, the judge's penultimate layer
};

// samples: [S, C, Y, X] in [-1, 1], on any device; the judge runs on `device`. Throws InputError if the folder holds no classifier.
JudgeReading read_with_judge(const std::string& folder, const at::Tensor& samples, at::Device device);

}  // namespace linden
