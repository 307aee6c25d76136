// A set of images in memory, as bytes: 50,000 of CIFAR-10 take 154 MB, a fourth of their size in fp32.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace linden {

struct LabelledImages {
  at::Tensor images;  // [S, C, Y, X] u8
  at::Tensor labels;  // [S] int64; undefined where there are none
};

// Only the images of these classes, in their order; no class: all.
LabelledImages of_classes(const LabelledImages& set, const std::vector<int64_t>& classes);

// u8 0..255 of any shape -> fp32 in [-1, 1]; other tensors as they are.
at::Tensor scaled_to_unit(const at::Tensor& images);

// images [B, C, Y, X] with left and right exchanged in the rows where `flips` ([B] bool) is set.
at::Tensor flip_images(const at::Tensor& images, const at::Tensor& flips);

}  // namespace linden
