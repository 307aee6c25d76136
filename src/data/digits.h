// Handwritten digits (MNIST), as the digit models want them.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <string>

namespace linden {

struct Digits {
  at::Tensor images;  // [S, 1, 32, 32] fp32 in [-1, 1]: 28x28 PADDED (not scaled) to 32x32 with two rows of -1 on each side
  at::Tensor labels;  // [S] int64, 0 .. 9
};

// Where the data sets lie: the environment variable LINDEN_DATA, or ../shared/data.
std::filesystem::path data_folder();

// "train" (60,000) and "test" (10,000): <data folder>/mnist/{train,t10k}-{images-idx3,labels-idx1}-ubyte.gz.
// "shipped": the first 1,000 test digits, which lie in the repository (experiments/digits).
// Throws InputError: a file is missing (which, and where to put it), damaged, of another size, or holds a label above 9.
Digits load_digits(const std::string& split);
Digits load_digit_files(const std::filesystem::path& images, const std::filesystem::path& labels);

// experiments/digits of this repository: below the working directory, or above the binary.
std::filesystem::path shipped_digits_folder();

// [S, 1, 28, 28] or [S, 28, 28] u8 -> [S, 1, 32, 32] fp32 in [-1, 1], padded with -1.
at::Tensor digits_from_bytes(const at::Tensor& bytes);

}  // namespace linden
