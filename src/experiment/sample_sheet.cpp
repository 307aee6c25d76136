#include "experiment/sample_sheet.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "core/files.h"
#include "io/png.h"
#include "io/svg.h"

namespace linden {
namespace {
constexpr int64_t kMaxPoints = 2000;
}

std::filesystem::path write_sample_sheet(const std::filesystem::path& folder, const at::Tensor& samples, int64_t count,
                                         const std::map<std::string, std::string>& text) {
  if (samples.dim() == 4 && (samples.size(1) == 1 || samples.size(1) == 3)) {
    const at::Tensor first = samples.narrow(0, 0, std::min(count, samples.size(0))).cpu();
    write_png(folder / "samples.png", contact_sheet(first, 0, first.size(0) > 100 ? 1 : 2), text);
    return folder / "samples.png";
  }
  if (samples.dim() == 5 && (samples.size(1) == 1 || samples.size(1) == 3)) {
    write_png(folder / "samples.png", clip_sheet(samples.narrow(0, 0, std::min(count, samples.size(0))).cpu()), text);
    return folder / "samples.png";
  }
  if (samples.dim() != 2 || samples.size(1) != 2) return {};
  ScatterFigure figure;
  figure.title = "Samples";
  figure.x.label = "x";
  figure.y.label = "y";
  figure.series.push_back({"samples", {}});
  const at::Tensor points = samples.cpu().to(at::kDouble);
  const auto point = points.accessor<double, 2>();
  for (int64_t i = 0; i < std::min(kMaxPoints, points.size(0)); ++i) figure.series[0].second.push_back({point[i][0], point[i][1]});
  write_file_atomically(folder / "samples.svg", scatter_svg(figure));
  return folder / "samples.svg";
}

}  // namespace linden
