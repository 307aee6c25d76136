// Samples of a run folder as a picture.
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/files.h"
#include "experiment/report_sections.h"
#include "io/hdf5.h"
#include "io/png.h"
#include "io/svg.h"

namespace linden {

namespace {

std::string image_grid(const at::Tensor& samples, int64_t count) {
  const int64_t shown = std::min(count, samples.size(0));
  const auto columns = static_cast<int64_t>(std::ceil(std::sqrt(static_cast<double>(shown))));
  constexpr int64_t kWanted = 300;  // pixels across, so that grids of different images look alike
  const int64_t scale = std::max<int64_t>(1, kWanted / (columns * samples.size(3)));
  return encode_png(contact_sheet(samples.narrow(0, 0, shown), columns, scale, 2));
}

std::string point_cloud(const at::Tensor& samples, const std::string& label) {
  constexpr int64_t kMostPoints = 1000;
  const at::Tensor points = samples.narrow(0, 0, std::min(kMostPoints, samples.size(0))).to(at::kDouble).contiguous();
  const auto rows = points.accessor<double, 2>();
  ScatterFigure figure;
  figure.x.label = "x";
  figure.y.label = "y";
  figure.width = figure.height = 360;
  figure.series.emplace_back(label, std::vector<std::pair<double, double>>());
  for (int64_t row = 0; row < rows.size(0); ++row) figure.series[0].second.emplace_back(rows[row][0], rows[row][1]);
  return scatter_svg(figure);
}

}  // namespace

bool sample_picture(const RunRecord& run, int64_t count, const std::string& label, Picture& picture) {
  picture.label = label;
  picture.kind = Picture::Kind::kPng;
  picture.pixels = true;
  const std::filesystem::path sheet = run.folder() / "samples.png", set = run.folder() / "samples.h5";
  if (!std::filesystem::exists(set)) {
    if (!std::filesystem::exists(sheet)) return false;
    picture.bytes = read_text_file(sheet);
    return true;
  }
  const at::Tensor samples = Hdf5Reader(set).read("samples");
  check_input(samples.size(0) > 0, "{}: \"samples\" is empty", set.string());
  if (samples.dim() == 4 && (samples.size(1) == 1 || samples.size(1) == 3)) {
    picture.bytes = image_grid(samples, count);
  } else if (samples.dim() == 2 && samples.size(1) == 2) {
    picture.kind = Picture::Kind::kSvg;
    picture.bytes = point_cloud(samples, "");
  } else {
    return false;
  }
  return true;
}

}  // namespace linden
