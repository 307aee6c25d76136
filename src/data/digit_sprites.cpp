#include "data/digit_sprites.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <numeric>

#include "core/error.h"

namespace linden {
namespace {

constexpr int64_t kSide = 32;  // rows and columns of Digits::images
constexpr int64_t kTrainingDigits = 60000;
constexpr int64_t kShippedTraining = 800;

struct Box {
  int64_t top = kSide, bottom = -1, left = kSide, right = -1;  // the last row and column included
};

Box bounding_box(const float* image) {
  Box box;
  for (int64_t y = 0; y < kSide; ++y)
    for (int64_t x = 0; x < kSide; ++x) {
      if (image[y * kSide + x] <= -1) continue;
      box = {std::min(box.top, y), std::max(box.bottom, y), std::min(box.left, x), std::max(box.right, x)};
    }
  return box;
}

// weights[i][j]: the share of output i's extent that input j covers, kDigitBox inputs to `size` outputs.
std::vector<std::array<float, kDigitBox>> area_weights(int64_t size) {
  std::vector<std::array<float, kDigitBox>> weights(static_cast<size_t>(size));
  for (int64_t i = 0; i < size; ++i)
    for (int64_t j = 0; j < kDigitBox; ++j) {  // in units of 1 / (size kDigitBox), so that the bounds are integers
      const int64_t overlap = std::min((i + 1) * kDigitBox, (j + 1) * size) - std::max(i * kDigitBox, j * size);
      weights[i][j] = static_cast<float>(std::max<int64_t>(overlap, 0)) / kDigitBox;
    }
  return weights;
}

// The crop whose upper left corner is (top, left); what lies outside of the image is empty.
std::array<float, kDigitBox * kDigitBox> crop(const float* image, int64_t top, int64_t left) {
  std::array<float, kDigitBox * kDigitBox> out{};
  for (int64_t y = std::max<int64_t>(0, -top); y < std::min(kDigitBox, kSide - top); ++y)
    for (int64_t x = std::max<int64_t>(0, -left); x < std::min(kDigitBox, kSide - left); ++x)
      out[y * kDigitBox + x] = (image[(top + y) * kSide + left + x] + 1) * 0.5f;
  return out;
}

void scale(const std::array<float, kDigitBox * kDigitBox>& in, const std::vector<std::array<float, kDigitBox>>& weights, float* out) {
  for (const auto& row_weights : weights) {
    std::array<float, kDigitBox> row{};
    for (int64_t j = 0; j < kDigitBox; ++j)
      for (int64_t x = 0; x < kDigitBox; ++x) row[x] += row_weights[j] * in[j * kDigitBox + x];
    for (const auto& column_weights : weights) *out++ = std::min(1.0f, std::inner_product(row.begin(), row.end(), column_weights.begin(), 0.0f));
  }
}

std::vector<int64_t> counted_from(int64_t first, int64_t count) {
  std::vector<int64_t> rows(static_cast<size_t>(count));
  std::iota(rows.begin(), rows.end(), first);
  return rows;
}

}  // namespace

DigitSprites cut_sprites(const Digits& digits, std::vector<int64_t> rows, int64_t size) {
  const int64_t count = digits.images.size(0);
  check(digits.images.sizes() == at::IntArrayRef({count, 1, kSide, kSide}) && digits.labels.numel() == count && static_cast<int64_t>(rows.size()) == count,
        "cut_sprites: wanted images [S, 1, 32, 32] with S labels and rows");
  check(size >= 1 && size <= kDigitBox, "cut_sprites: size {} (allowed 1..{})", size, kDigitBox);
  const at::Tensor images = digits.images.contiguous(), alpha = at::empty({count, size, size}, at::kFloat);
  const auto weights = area_weights(size);
  for (int64_t s = 0; s < count; ++s) {
    const float* image = images.const_data_ptr<float>() + s * kSide * kSide;
    const Box box = bounding_box(image);
    check_input(box.bottom >= 0, "digit {} of MNIST has no ink", rows[s]);
    const int64_t height = box.bottom - box.top + 1, width = box.right - box.left + 1;
    check_input(height <= kDigitBox && width <= kDigitBox, "digit {} of MNIST is {}x{} pixels large, at most {}x{} fit", rows[s], height, width, kDigitBox,
                kDigitBox);
    scale(crop(image, box.top - (kDigitBox - height) / 2, box.left - (kDigitBox - width) / 2), weights, alpha.data_ptr<float>() + s * size * size);
  }
  return {alpha, digits.labels, std::move(rows)};
}

DigitSprites load_sprites(const std::string& source, const std::string& split, int64_t size) {
  const bool training = split == "train";
  check((source == "mnist" || source == "shipped") && (training || split == "test"), "load_sprites: source \"{}\", split \"{}\"", source, split);
  if (source == "mnist") {
    const Digits digits = load_digits(split);
    return cut_sprites(digits, counted_from(training ? 0 : kTrainingDigits, digits.labels.numel()), size);
  }
  const Digits digits = load_digits("shipped");
  const int64_t begin = training ? 0 : kShippedTraining, end = training ? kShippedTraining : digits.labels.numel();
  return cut_sprites({digits.images.slice(0, begin, end), digits.labels.slice(0, begin, end)}, counted_from(kTrainingDigits + begin, end - begin), size);
}

}  // namespace linden
