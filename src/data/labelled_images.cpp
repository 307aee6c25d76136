#include "data/labelled_images.h"

#include <ATen/ATen.h>

namespace linden {

LabelledImages of_classes(const LabelledImages& set, const std::vector<int64_t>& classes) {
  if (classes.empty()) return set;
  const at::Tensor kept = at::isin(set.labels, at::tensor(classes, at::kLong)).nonzero().flatten();
  return {set.images.index_select(0, kept), set.labels.index_select(0, kept)};
}

at::Tensor scaled_to_unit(const at::Tensor& images) { return images.scalar_type() == at::kByte ? images.to(at::kFloat).mul_(2.0 / 255.0).sub_(1.0) : images; }

at::Tensor flip_images(const at::Tensor& images, const at::Tensor& flips) { return at::where(flips.view({-1, 1, 1, 1}), images.flip(3), images); }

}  // namespace linden
