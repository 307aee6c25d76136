// Digits cut out of MNIST as sprites: how much each pixel covers what lies below.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/digits.h"

namespace linden {

// MNIST's digits are at most this high and wide.
inline constexpr int64_t kDigitBox = 20;

struct DigitSprites {
  at::Tensor alpha;           // [S, n, n] fp32 in [0, 1]
  at::Tensor labels;          // [S] int64, 0 .. 9
  std::vector<int64_t> rows;  // [S] which digit of MNIST: 0 .. 59,999 training set, 60,000 .. 69,999 test set
};

// The 20x20 crop around the centre of each digit's bounding box, scaled to size x size by area averaging.
// InputError: a digit without ink, or larger than 20 in one direction (which row).
DigitSprites cut_sprites(const Digits& digits, std::vector<int64_t> rows, int64_t size);

// source "mnist": split "train" has the 60,000 training digits, "test" the 10,000 test digits of the data folder.
// source "shipped": of the thousand test digits in the repository, "train" has the first 800 and "test" the last 200.
DigitSprites load_sprites(const std::string& source, const std::string& split, int64_t size);

}  // namespace linden
