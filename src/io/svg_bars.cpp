#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "io/svg.h"
#include "io/svg_axes.h"

namespace linden {
namespace {

using namespace svg;

constexpr size_t kNumberedBars = 40;  // up to so many bars carry their value
constexpr double kLabelSize = 10.5;

// Group labels under the axis: level where they fit, slanted where they do not, thinned where even that fails.
void draw_group_labels(Canvas& canvas, const PlotArea& area, const std::vector<std::string>& groups, bool slanted) {
  const double slot = (area.right - area.left) / static_cast<double>(groups.size());
  const auto stride = static_cast<size_t>(std::ceil(1.2 * kLabelSize / std::max(slot, 0.1)));
  for (size_t g = 0; g < groups.size(); g += slanted ? stride : 1) {
    const double x = area.left + (static_cast<double>(g) + 0.5) * slot;
    if (slanted) {
      canvas.text({x + 3, area.bottom + 12}, groups[g], {.size = kLabelSize, .anchor = Anchor::kEnd, .angle = -35});
    } else {
      canvas.text({x, area.bottom + 16}, groups[g], {.size = kLabelSize, .anchor = Anchor::kMiddle});
    }
  }
}

void draw_bar(Canvas& canvas, double x, double width, double value, const Scale& y, const std::string& colour, double number_size) {
  const double zero = y(0), end = y(value);
  canvas.tooltip(short_number(value, 5));
  canvas.rectangle({x, std::min(zero, end)}, width, std::max(std::abs(end - zero), 0.5), colour, 0.92);
  if (number_size <= 0) return;
  canvas.text({x + width / 2, value >= 0 ? end - 3 : end + number_size + 1}, short_number(value), {.size = number_size, .anchor = Anchor::kMiddle});
}

}  // namespace

std::string bars_svg(const BarFigure& figure) {
  check(figure.width >= 160 && figure.height >= 120, "bars_svg: {} x {} pixels are too few", figure.width, figure.height);
  const size_t num_groups = figure.groups.size(), num_series = figure.series.size();
  Extent extent(false);
  extent.include(0);
  std::vector<LegendEntry> legend;
  double widest_label = 0, widest_number = 0;
  for (size_t s = 0; s < num_series; ++s) {
    const auto& [label, values] = figure.series[s];
    check(values.size() == num_groups, "bars_svg: series '{}' has {} values, wanted one for each of {} groups", label, values.size(), num_groups);
    for (const double value : values) {
      extent.include(value);
      if (extent.shows(value)) widest_number = std::max(widest_number, text_width(short_number(value), 9.5));
    }
    legend.push_back({label, series_colour(s), "", LegendEntry::Mark::kBox});
  }
  for (const auto& group : figure.groups) widest_label = std::max(widest_label, text_width(group, kLabelSize));
  auto range = extent.padded(0.08);
  if (extent.padded(0).first >= 0) range.first = 0;  // bars stand on the axis
  if (extent.padded(0).second <= 0) range.second = 0;
  if (range.first == range.second) range.second = 1;

  Canvas canvas(figure.width, figure.height);
  PlotArea area;
  area.top = draw_heading(canvas, figure.width, figure.title, legend);
  area.right = static_cast<double>(figure.width) - 18;
  const double rough_slot = (area.right - 60) / static_cast<double>(std::max<size_t>(num_groups, 1));
  const bool slanted = widest_label + 6 > rough_slot;
  const double room = slanted ? std::min(0.58 * widest_label + 20, 0.4 * static_cast<double>(figure.height)) : 28;
  area.bottom = std::max(static_cast<double>(figure.height) - room, area.top + 20);
  area.left = y_label_room(false, range, area.bottom - area.top) + (figure.y_label.empty() ? 8 : 24);
  if (slanted) area.left = std::max(area.left, std::min(0.82 * text_width(figure.groups.front(), kLabelSize) - rough_slot / 2 + 8, 120.0));
  const Scale y(false, range, area.bottom, area.top);
  draw_y_axis(canvas, area, y, figure.y_label);

  const double slot = (area.right - area.left) / static_cast<double>(std::max<size_t>(num_groups, 1));
  const double width = std::min(0.78 * slot / static_cast<double>(std::max<size_t>(num_series, 1)), 56.0);
  const bool numbered = num_groups * num_series <= kNumberedBars && widest_number < 1.25 * width + 4;
  for (size_t g = 0; g < num_groups; ++g) {
    const double first = area.left + (static_cast<double>(g) + 0.5) * slot - width * static_cast<double>(num_series) / 2;
    for (size_t s = 0; s < num_series; ++s) {
      const double value = figure.series[s].second[g];
      if (!extent.shows(value)) continue;
      draw_bar(canvas, first + width * (static_cast<double>(s) + 0.04), 0.92 * width, value, y, series_colour(s), numbered ? 9.5 : 0);
    }
  }
  canvas.line({area.left, y(0)}, {area.right, y(0)}, {kMuted, 1});
  if (num_groups > 0) draw_group_labels(canvas, area, figure.groups, slanted);
  return canvas.finish();
}

}  // namespace linden
