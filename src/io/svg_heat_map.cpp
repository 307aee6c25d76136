#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "io/svg.h"
#include "io/svg_axes.h"

namespace linden {
namespace {

using namespace svg;

// Edges between columns: half way to each neighbour.
std::vector<double> column_edges(const std::vector<double>& x) {
  if (x.size() == 1) return {x[0] - 0.5, x[0] + 0.5};
  std::vector<double> edges{x[0] - (x[1] - x[0]) / 2};
  for (size_t c = 0; c + 1 < x.size(); ++c) edges.push_back((x[c] + x[c + 1]) / 2);
  edges.push_back(x.back() + (x.back() - x[x.size() - 2]) / 2);
  return edges;
}

// From a value to its place on the bar of colours.
struct ValueRange {
  bool logarithmic = false, any = false;
  double low = 0, high = 0;
  bool shows(double value) const { return std::isfinite(value) && (!logarithmic || value > 0); }
  void include(double value) {
    if (!shows(value)) return;
    low = any ? std::min(low, value) : value;
    high = any ? std::max(high, value) : value;
    any = true;
  }
  double operator()(double value) const {
    if (high <= low) return 0.5;
    return logarithmic ? std::log(value / low) / std::log(high / low) : (value - low) / (high - low);
  }
};

}  // namespace

std::string heat_map_svg(const HeatMapFigure& figure) {
  const size_t num_rows = figure.y.size(), num_columns = figure.x.size();
  check(figure.width >= 160 && figure.height >= 120, "heat_map_svg: {} x {} pixels are too few", figure.width, figure.height);
  check(num_columns > 0 && num_rows > 0 && figure.values.size() == num_rows, "heat_map_svg: {} rows of values, wanted {} of {} columns", figure.values.size(),
        num_rows, num_columns);
  ValueRange range{figure.logarithmic};
  for (const auto& row : figure.values) {
    check(row.size() == num_columns, "heat_map_svg: a row of {} values, wanted {}", row.size(), num_columns);
    for (const double value : row) range.include(value);
  }
  const std::vector<double> edges = column_edges(figure.x);
  std::pair<double, double> x_range{edges.front(), edges.back()};
  for (const auto& event : figure.vertical_lines) x_range = {std::min(x_range.first, event.second), std::max(x_range.second, event.second)};
  const std::pair<double, double> y_range{figure.y.front().first, figure.y.back().second};
  const auto width = static_cast<double>(figure.width), height = static_cast<double>(figure.height);

  Canvas canvas(figure.width, figure.height);
  PlotArea area;
  area.top = draw_heading(canvas, figure.width, figure.title, {});
  if (range.any) area.top = draw_colour_bar(canvas, area.top - 4, {figure.value_label, short_number(range.low), short_number(range.high)});
  if (!figure.vertical_lines.empty()) area.top += kEventRoom;
  area.bottom = std::max(height - (figure.x_label.empty() ? 26 : 42), area.top + 20);
  area.left = y_label_room(false, y_range, area.bottom - area.top) + (figure.y_label.empty() ? 8 : 24);
  area.right = width - 18;
  const Scale x(false, x_range, area.left, area.right), y(false, y_range, area.bottom, area.top);
  draw_x_axis(canvas, area, x, figure.x_label);
  draw_y_axis(canvas, area, y, figure.y_label);
  for (size_t r = 0; r < num_rows; ++r) {
    const double top = std::round(y(figure.y[r].second)), bottom = std::round(y(figure.y[r].first));  // whole pixels: no seams
    for (size_t c = 0; c < num_columns; ++c) {
      const double value = figure.values[r][c], left = std::round(x(edges[c])), right = std::round(x(edges[c + 1]));
      if (!range.shows(value)) continue;
      canvas.tooltip(short_number(figure.x[c], 6) + ": " + short_number(value, 4));
      canvas.rectangle({left, top}, std::max(right - left, 1.0), bottom - top, scale_colour(range(value)));
    }
  }
  draw_events(canvas, area, x, figure.vertical_lines);
  return canvas.finish();
}

std::string cells_svg(const CellFigure& figure) {
  constexpr double kCellHeight = 26, kLabelSize = 11;
  constexpr size_t kMostKinds = 7;
  check(!figure.rows.empty() && !figure.rows[0].second.empty() && figure.kinds.size() <= kMostKinds,
        "cells_svg: {} rows and {} kinds, wanted cells and at most {} kinds", figure.rows.size(), figure.kinds.size(), kMostKinds);
  double label_room = 0;
  size_t num_cells = 0;
  for (const auto& [label, cells] : figure.rows) {
    label_room = std::max(label_room, text_width(label, kLabelSize));
    num_cells = std::max(num_cells, cells.size());
    for (const int64_t kind : cells)
      check(kind >= 0 && kind < static_cast<int64_t>(figure.kinds.size()), "cells_svg: row '{}' has kind {} of {}", label, kind, figure.kinds.size());
  }
  std::vector<LegendEntry> legend;
  for (size_t k = 0; k < figure.kinds.size(); ++k) legend.push_back({figure.kinds[k], series_colour(k), "", LegendEntry::Mark::kBox});
  // The height follows from the rows: the heading is drawn once to be measured.
  Canvas measure(figure.width, 1);
  const double top = draw_heading(measure, figure.width, figure.title, legend);
  const double height = top + static_cast<double>(figure.rows.size()) * (kCellHeight + 6) + (figure.x_label.empty() ? 6 : 24);
  Canvas canvas(figure.width, static_cast<int64_t>(std::ceil(height)));
  draw_heading(canvas, figure.width, figure.title, legend);
  const double left = 12 + (label_room > 0 ? label_room + 10 : 0), right = static_cast<double>(figure.width) - 14;
  constexpr double kMostWidth = 46;
  const double cell = std::min((right - left) / static_cast<double>(num_cells), kMostWidth);
  const double number_size = std::clamp(cell * 0.5, 5.0, 11.0);
  for (size_t r = 0; r < figure.rows.size(); ++r) {
    const double y = top + static_cast<double>(r) * (kCellHeight + 6);
    canvas.text({left - 10, y + kCellHeight / 2 + 4}, figure.rows[r].first, {.size = kLabelSize, .anchor = Anchor::kEnd});
    for (size_t i = 0; i < figure.rows[r].second.size(); ++i) {
      const auto kind = static_cast<size_t>(figure.rows[r].second[i]);
      const double x = left + cell * static_cast<double>(i);
      canvas.tooltip(std::to_string(i) + ": " + figure.kinds[kind]);
      canvas.rectangle({x, y}, cell - std::min(2.0, cell * 0.1), kCellHeight, series_colour(kind), 0.9);
      if (cell >= 9)
        canvas.text({x + cell / 2 - 1, y + kCellHeight / 2 + number_size * 0.36}, std::to_string(i),
                    {.size = number_size, .anchor = Anchor::kMiddle, .colour = "#ffffff", .bold = true});
    }
  }
  canvas.text({left, height - 8}, figure.x_label, {.size = kLabelSize, .colour = kMuted});
  return canvas.finish();
}

}  // namespace linden
