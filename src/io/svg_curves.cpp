#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "io/svg.h"
#include "io/svg_axes.h"

namespace linden {
namespace {

using namespace svg;

constexpr size_t kMarkedPoints = 24;   // a curve of at most so many points shows them
constexpr size_t kDensePoints = 2000;  // a curve of more points is drawn thin: it is a cloud

std::string colour_of(const Curve& curve, size_t index) { return curve.colour.empty() ? series_colour(index) : curve.colour; }
std::string dashes_of(const Curve& curve, size_t index) { return curve.colour.empty() ? series_dashes(index) : ""; }

void check_curve(const Curve& curve) {
  check(curve.x.size() == curve.y.size(), "curves_svg: curve '{}' has {} x and {} y", curve.label, curve.x.size(), curve.y.size());
  check(curve.low.size() == curve.high.size() && (curve.low.empty() || curve.low.size() == curve.y.size()),
        "curves_svg: the band of curve '{}' has {} and {} values, wanted 0 or {}", curve.label, curve.low.size(), curve.high.size(), curve.y.size());
}

// A run of points without gaps, in pixels.
using Run = std::vector<Point>;

// Where many points share a pixel column, its first, lowest, highest and last stand for all: the same
// picture in a small file.
Run thinned(const Run& run) {
  Run kept;
  for (size_t begin = 0; begin < run.size();) {
    size_t end = begin, lowest = begin, highest = begin;
    for (; end < run.size() && std::floor(run[end].first) == std::floor(run[begin].first); ++end) {
      if (run[end].second < run[lowest].second) lowest = end;
      if (run[end].second > run[highest].second) highest = end;
    }
    std::vector<size_t> chosen{begin, lowest, highest, end - 1};
    std::sort(chosen.begin(), chosen.end());
    chosen.erase(std::unique(chosen.begin(), chosen.end()), chosen.end());
    for (const size_t i : chosen) kept.push_back(run[i]);
    begin = end;
  }
  return kept;
}

// The runs of points that both scales show: a NaN or a zero on a logarithmic axis breaks the line.
std::vector<Run> runs_of(const std::vector<double>& xs, const std::vector<double>& ys, const Scale& x, const Scale& y) {
  std::vector<Run> runs(1);
  for (size_t i = 0; i < xs.size(); ++i) {
    if (x.shows(xs[i]) && y.shows(ys[i])) runs.back().emplace_back(x(xs[i]), y(ys[i]));
    else if (!runs.back().empty()) runs.emplace_back();
  }
  if (runs.back().empty()) runs.pop_back();
  return runs;
}

// The band's outline: the lowest and highest edge of each pixel column.
void draw_band(Canvas& canvas, const Curve& curve, const Scale& x, const Scale& y, const std::string& colour) {
  Run upper, lower;
  const auto flush = [&] {
    std::reverse(lower.begin(), lower.end());
    upper.insert(upper.end(), lower.begin(), lower.end());
    if (upper.size() >= 4) canvas.polygon(upper, colour, 0.16);
    upper.clear();
    lower.clear();
  };
  for (size_t i = 0; i < curve.low.size(); ++i) {
    if (!x.shows(curve.x[i]) || !y.shows(curve.low[i]) || !y.shows(curve.high[i])) {
      flush();
      continue;
    }
    const double at = x(curve.x[i]), low = y(curve.low[i]), high = y(curve.high[i]);
    const bool same_column = upper.size() > 1 && std::floor(upper.back().first) == std::floor(at) && at >= upper.back().first;
    if (same_column && curve.low.size() > 500) {
      upper.back().second = std::min(upper.back().second, high);
      lower.back().second = std::max(lower.back().second, low);
      continue;
    }
    upper.emplace_back(at, high);
    lower.emplace_back(at, low);
  }
  flush();
}

void draw_curve(Canvas& canvas, const Curve& curve, const Scale& x, const Scale& y, size_t index) {
  const std::string colour = colour_of(curve, index);
  const bool marked = curve.x.size() <= kMarkedPoints;
  for (const Run& run : runs_of(curve.x, curve.y, x, y)) {
    if (run.size() > 1) canvas.polyline(thinned(run), {colour, run.size() > kDensePoints ? 0.9 : 1.8, dashes_of(curve, index)});
    if (!marked && run.size() > 1) continue;
    for (const Point& point : run) canvas.circle(point, 2.6, colour);
  }
}

const char* reference_dashes(size_t index) {
  static const char* const kDashes[] = {"5 4", "2 3", "9 4", "9 3 2 3"};
  return kDashes[index % 4];
}

}  // namespace

std::string scale_colour(double position) {
  constexpr double kDarkPart = 0.9;
  return viridis(kDarkPart * position);
}

std::string curves_svg(const CurveFigure& figure) {
  check(figure.width >= 160 && figure.height >= 120, "curves_svg: {} x {} pixels are too few", figure.width, figure.height);
  Extent x_extent(figure.x.logarithmic), y_extent(figure.y.logarithmic);
  std::vector<LegendEntry> legend;
  for (size_t c = 0; c < figure.curves.size(); ++c) {
    const Curve& curve = figure.curves[c];
    check_curve(curve);
    for (size_t i = 0; i < curve.x.size(); ++i) {
      if (!x_extent.shows(curve.x[i])) continue;
      if (y_extent.shows(curve.y[i])) x_extent.include(curve.x[i]);
      y_extent.include(curve.y[i]);
      if (!curve.low.empty()) y_extent.include(curve.low[i]);
      if (!curve.low.empty()) y_extent.include(curve.high[i]);
    }
    legend.push_back({curve.label, colour_of(curve, c), dashes_of(curve, c)});
  }
  for (size_t i = 0; i < figure.horizontal_lines.size(); ++i) {
    y_extent.include(figure.horizontal_lines[i].second);
    legend.push_back({figure.horizontal_lines[i].first, kMuted, reference_dashes(i)});
  }
  for (const auto& event : figure.vertical_lines) x_extent.include(event.second);
  const auto x_range = x_extent.padded(0.015), y_range = y_extent.padded(0.05);
  const auto width = static_cast<double>(figure.width), height = static_cast<double>(figure.height);

  Canvas canvas(figure.width, figure.height);
  PlotArea area;
  area.top = draw_heading(canvas, figure.width, figure.title, legend);
  if (figure.colour_bar.shown()) area.top = draw_colour_bar(canvas, area.top - 4, figure.colour_bar);
  if (!figure.vertical_lines.empty()) area.top += kEventRoom;
  area.bottom = std::max(height - (figure.x.label.empty() ? 26 : 42), area.top + 20);
  area.left = y_label_room(figure.y.logarithmic, y_range, area.bottom - area.top) + (figure.y.label.empty() ? 8 : 24);
  area.right = width - 18;
  const Scale x(figure.x.logarithmic, x_range, area.left, area.right);
  const Scale y(figure.y.logarithmic, y_range, area.bottom, area.top);
  draw_x_axis(canvas, area, x, figure.x.label);
  draw_y_axis(canvas, area, y, figure.y.label);
  for (size_t c = 0; c < figure.curves.size(); ++c) draw_band(canvas, figure.curves[c], x, y, colour_of(figure.curves[c], c));
  for (size_t i = 0; i < figure.horizontal_lines.size(); ++i) {
    const double value = figure.horizontal_lines[i].second;
    if (y.shows(value)) canvas.line({area.left, y(value)}, {area.right, y(value)}, {kMuted, 1.3, reference_dashes(i)});
  }
  for (size_t c = 0; c < figure.curves.size(); ++c) draw_curve(canvas, figure.curves[c], x, y, c);
  draw_events(canvas, area, x, figure.vertical_lines);
  return canvas.finish();
}

}  // namespace linden
