#include <algorithm>
#include <cmath>
#include <set>

#include "core/error.h"
#include "io/svg.h"
#include "io/svg_axes.h"

namespace linden {
namespace {

using namespace svg;

constexpr size_t kSeparateDots = 600;  // more are drawn as one element, where shades no longer add up

// Points in pixels; those that fall on the same half pixel are drawn once.
std::vector<Point> placed(const std::vector<std::pair<double, double>>& points, const Scale& x, const Scale& y) {
  std::vector<Point> centres;
  std::set<std::pair<int64_t, int64_t>> taken;
  for (const auto& [px, py] : points) {
    if (!x.shows(px) || !y.shows(py)) continue;
    const Point centre{x(px), y(py)};
    if (taken.emplace(std::llround(2 * centre.first), std::llround(2 * centre.second)).second) centres.push_back(centre);
  }
  return centres;
}

}  // namespace

std::string scatter_svg(const ScatterFigure& figure) {
  check(figure.width >= 160 && figure.height >= 120, "scatter_svg: {} x {} pixels are too few", figure.width, figure.height);
  Extent x_extent(figure.x.logarithmic), y_extent(figure.y.logarithmic);
  std::vector<LegendEntry> legend;
  for (size_t s = 0; s < figure.series.size(); ++s) {
    for (const auto& [px, py] : figure.series[s].second) {
      if (!x_extent.shows(px) || !y_extent.shows(py)) continue;
      x_extent.include(px);
      y_extent.include(py);
    }
    legend.push_back({figure.series[s].first, series_colour(s), "", LegendEntry::Mark::kDot});
  }
  const auto x_range = x_extent.padded(0.04), y_range = y_extent.padded(0.04);

  Canvas canvas(figure.width, figure.height);
  PlotArea area;
  area.top = draw_heading(canvas, figure.width, figure.title, legend);
  area.bottom = std::max(static_cast<double>(figure.height) - (figure.x.label.empty() ? 26 : 42), area.top + 20);
  area.left = y_label_room(figure.y.logarithmic, y_range, area.bottom - area.top) + (figure.y.label.empty() ? 8 : 24);
  area.right = static_cast<double>(figure.width) - 18;
  const Scale x(figure.x.logarithmic, x_range, area.left, area.right);
  const Scale y(figure.y.logarithmic, y_range, area.bottom, area.top);
  draw_x_axis(canvas, area, x, figure.x.label);
  draw_y_axis(canvas, area, y, figure.y.label);
  for (size_t s = 0; s < figure.series.size(); ++s) {
    const auto centres = placed(figure.series[s].second, x, y);
    const auto count = static_cast<double>(std::max<size_t>(centres.size(), 1));
    const double radius = std::clamp(14 / std::sqrt(std::sqrt(count)) - 0.5, 1.0, 3.6);
    if (centres.size() > kSeparateDots) {
      canvas.dots(centres, radius, series_colour(s), 0.45);
    } else {
      for (const Point& centre : centres) canvas.circle(centre, radius, series_colour(s), 0.6);
    }
  }
  return canvas.finish();
}

}  // namespace linden
