#include <ATen/ATen.h>
#include <fmt/ostream.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "io/png.h"

namespace linden {

at::Tensor contact_sheet(const at::Tensor& images, int64_t columns, int64_t scale, int64_t gap) {
  check(images.dim() == 4 && images.size(0) > 0 && (images.size(1) == 1 || images.size(1) == 3) && images.is_floating_point(),
        "contact_sheet: wanted a float tensor [S, 1 or 3, Y, X] with S > 0, got {} of {}", fmt::streamed(images.sizes()), at::toString(images.scalar_type()));
  check(columns >= 0 && scale >= 1 && gap >= 0, "contact_sheet: columns {}, scale {}, gap {}", columns, scale, gap);
  const int64_t count = images.size(0), channels = images.size(1);
  if (columns == 0) columns = static_cast<int64_t>(std::ceil(std::sqrt(static_cast<double>(count))));
  columns = std::min(columns, count);
  const int64_t rows = (count + columns - 1) / columns;
  const at::Tensor bytes = images.detach()
                               .to(at::kCPU, at::kFloat)
                               .nan_to_num(-1.0, 1.0, -1.0)
                               .add(1.0)
                               .mul(127.5)
                               .round()
                               .clamp(0, 255)
                               .to(at::kByte)
                               .repeat_interleave(scale, 2)
                               .repeat_interleave(scale, 3);  // [S, C, Y*scale, X*scale]
  const int64_t height = bytes.size(2), width = bytes.size(3);
  constexpr int64_t kGrey = 128;
  at::Tensor sheet = at::full({channels, rows * (height + gap) - gap, columns * (width + gap) - gap}, kGrey, at::kByte);
  for (int64_t s = 0; s < count; ++s) {
    const int64_t y = s / columns * (height + gap), x = s % columns * (width + gap);
    sheet.narrow(1, y, height).narrow(2, x, width).copy_(bytes[s]);
  }
  return sheet;
}

at::Tensor clip_sheet(const at::Tensor& video, int64_t scale, int64_t gap) {
  check(video.dim() == 5 && video.size(0) > 0 && video.size(2) > 0, "clip_sheet: wanted [B, C, F, Y, X] with B, F > 0, got {}", fmt::streamed(video.sizes()));
  return contact_sheet(video.transpose(1, 2).flatten(0, 1), video.size(2), scale, gap);
}

}  // namespace linden
