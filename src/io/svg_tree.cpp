#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/error.h"
#include "io/svg_axes.h"
#include "io/svg_canvas.h"
#include "io/svg_tree_layout.h"

namespace linden {
namespace {

using namespace svg;

constexpr double kThumbnail = 40, kThumbnailGap = 8;
constexpr double kBarWidth = 12, kBarRoom = 70;
constexpr const char* kUnknown = "#c8c8c8";  // nodes without a finite value

// Values to viridis. The lowest twentieth of the values shares the darkest colour, so that a few very bad
// nodes do not make all others look alike.
struct ColourScale {
  double low = 0, high = 1;
  bool clipped = false;  // there are values below `low`

  explicit ColourScale(const std::vector<double>& values) {
    std::vector<double> finite;
    for (const double value : values) {
      if (std::isfinite(value)) finite.push_back(value);
    }
    if (finite.empty()) return;
    std::sort(finite.begin(), finite.end());
    low = finite[finite.size() / 20];
    high = finite.back();
    clipped = finite.front() < low;
  }
  std::string operator()(double value) const {
    if (!std::isfinite(value)) return kUnknown;
    return viridis(high > low ? 0.96 * (value - low) / (high - low) : 0.5);  // the palest yellow is lost on white
  }
};

// Pixels of the drawn nodes and what their look depends on.
struct TreePicture {
  const TreeFigure& figure;
  const TreeLayout& layout;
  PlotArea area;
  ColourScale colours;
  double heaviest;  // log(1 + weight) of the heaviest node
  int64_t first_level, last_level;

  double value(size_t i) const { return figure.value[layout.node[i]]; }
  double weight(size_t i) const {  // 0 .. 1
    const double visits = figure.weight[layout.node[i]];
    return std::isfinite(visits) && visits > 0 ? std::log1p(visits) / heaviest : 0;
  }
  double row_height() const { return (area.bottom - area.top) / static_cast<double>(std::max<int64_t>(last_level - first_level, 1)); }
  double y_of_level(int64_t level) const { return area.top + row_height() * static_cast<double>(level - first_level); }
};

struct Placed {
  std::vector<Point> centre;
  std::vector<double> radius;
};

Placed place(const TreePicture& picture) {
  Placed placed;
  const double width = picture.area.right - picture.area.left, row = picture.row_height();
  for (size_t i = 0; i < picture.layout.node.size(); ++i) {
    const int64_t level = picture.figure.level[picture.layout.node[i]];
    placed.centre.emplace_back(picture.area.left + width * picture.layout.x[i], picture.y_of_level(level));
    const double room = std::max(1.3, std::min(0.55 * width * picture.layout.slot[i], 0.45 * std::max(row, 6.0)));
    placed.radius.push_back(std::min(1.3 + 6.2 * picture.weight(i) * picture.weight(i), room));
  }
  return placed;
}

void draw_levels(Canvas& canvas, const TreePicture& picture) {
  std::vector<int64_t> levels = picture.figure.level;
  std::sort(levels.begin(), levels.end());
  levels.erase(std::unique(levels.begin(), levels.end()), levels.end());
  double free_from = -1e9;
  for (const int64_t level : levels) {
    const double y = picture.y_of_level(level);
    canvas.line({picture.area.left - 6, y}, {picture.area.right + 6, y}, {"#f1f1f1", 1});
    const auto& labels = picture.figure.level_labels;
    const bool named = level >= 0 && level < static_cast<int64_t>(labels.size());
    if ((!named && !labels.empty()) || y < free_from) continue;
    canvas.text({picture.area.left - 10, y + 3.5}, named ? labels[static_cast<size_t>(level)] : std::to_string(level),
                {.size = 10, .anchor = Anchor::kEnd, .colour = kMuted});
    free_from = y + 12;
  }
}

void draw_nodes(Canvas& canvas, const TreePicture& picture, const Placed& placed) {
  std::vector<size_t> order(placed.centre.size());  // the best on top
  std::iota(order.begin(), order.end(), size_t{0});
  const auto rank = [&](size_t i) { return std::isnan(picture.value(i)) ? -INFINITY : picture.value(i); };
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return rank(a) < rank(b); });
  const bool crowded = order.size() > 300;
  for (const size_t i : order) {
    const int64_t parent = picture.layout.parent[i];
    if (parent < 0) continue;
    canvas.link(placed.centre[static_cast<size_t>(parent)], placed.centre[i],
                {picture.colours(picture.value(i)), (crowded ? 0.4 : 0.8) + 1.8 * picture.weight(i), "", crowded ? 0.45 : 0.6});
  }
  for (const size_t i : order) {
    const size_t node = picture.layout.node[i];
    canvas.tooltip(fmt::format("node {}, {} {}, visits {}", node, picture.figure.value_label, short_number(picture.value(i), 5),
                               short_number(picture.figure.weight[node], 6)));
    const bool large = placed.radius[i] > 2.2;
    canvas.circle(placed.centre[i], placed.radius[i], picture.colours(picture.value(i)), 1, large ? "#ffffff" : "", large ? 0.7 : 0);
  }
}

void draw_colour_bar(Canvas& canvas, const TreePicture& picture, double right, double bottom) {
  constexpr int kSteps = 48;
  const double top = picture.area.top + 18, x = right - kBarRoom + 22;
  const double height = std::min(bottom - top, 220.0);
  const ColourScale& colours = picture.colours;
  canvas.text({right - 12, top - 10}, picture.figure.value_label, {.size = 10.5, .anchor = Anchor::kEnd});
  if (colours.high <= colours.low) {
    canvas.rectangle({x, top}, kBarWidth, kBarWidth, colours(colours.low));
    canvas.text({x + kBarWidth + 5, top + 10}, short_number(colours.low), {.size = 10});
    return;
  }
  for (int i = 0; i < kSteps; ++i) {
    const double part = 1 - (i + 0.5) / kSteps;
    canvas.rectangle({x, top + height * i / kSteps}, kBarWidth, height / kSteps + 0.4, colours(colours.low + part * (colours.high - colours.low)));
  }
  for (const Tick& tick : linear_ticks(colours.low, colours.high, 5)) {
    const double y = top + height * (1 - (tick.value - colours.low) / (colours.high - colours.low));
    canvas.line({x + kBarWidth, y}, {x + kBarWidth + 3, y}, {kMuted, 1});
    canvas.text({x + kBarWidth + 5, y + 3.5}, tick.label, {.size = 10});
  }
  if (colours.clipped) { canvas.text({right - 12, top + height + 14}, "darkest: lower 5 %", {.size = 9, .anchor = Anchor::kEnd, .colour = kMuted}); }
}

// Positions in the layout of the best nodes with a picture, as many as fit side by side, from left to right.
std::vector<size_t> pictured_nodes(const TreePicture& picture) {
  std::vector<size_t> chosen;
  if (picture.figure.thumbnails.empty()) return chosen;
  for (size_t i = 0; i < picture.layout.node.size(); ++i) {
    if (!picture.figure.thumbnails[picture.layout.node[i]].empty() && std::isfinite(picture.value(i))) chosen.push_back(i);
  }
  std::stable_sort(chosen.begin(), chosen.end(), [&](size_t a, size_t b) { return picture.value(a) > picture.value(b); });
  const double width = picture.area.right - picture.area.left;
  chosen.resize(std::min(chosen.size(), static_cast<size_t>(width / (kThumbnail + kThumbnailGap)) + 1));
  std::stable_sort(chosen.begin(), chosen.end(), [&](size_t a, size_t b) { return picture.layout.x[a] < picture.layout.x[b]; });
  return chosen;
}

// Centres at least `step` apart and inside [low, high], as close to the wanted ones (ascending) as can be in
// the sum of squares: isotonic regression of what is wanted minus k step, by pooling neighbours.
std::vector<double> spread(const std::vector<double>& wanted, double step, double low, double high) {
  struct Block {
    double sum;
    size_t count;
    double mean() const { return sum / static_cast<double>(count); }
  };
  std::vector<Block> blocks;
  for (size_t k = 0; k < wanted.size(); ++k) {
    blocks.push_back({wanted[k] - static_cast<double>(k) * step, 1});
    while (blocks.size() > 1 && blocks[blocks.size() - 2].mean() >= blocks.back().mean()) {
      const Block last = blocks.back();
      blocks.pop_back();
      blocks.back() = {blocks.back().sum + last.sum, blocks.back().count + last.count};
    }
  }
  const double limit = high - step * static_cast<double>(std::max<size_t>(wanted.size(), 1) - 1);
  std::vector<double> centres;
  for (const Block& block : blocks) {
    for (size_t i = 0; i < block.count; ++i) { centres.push_back(std::max(low, std::min(block.mean(), limit)) + step * static_cast<double>(centres.size())); }
  }
  return centres;
}

void draw_thumbnails(Canvas& canvas, const TreePicture& picture, const Placed& placed, const std::vector<size_t>& nodes, double top) {
  std::vector<double> wanted;
  for (const size_t i : nodes) wanted.push_back(placed.centre[i].first);
  const auto x = spread(wanted, kThumbnail + kThumbnailGap, picture.area.left, picture.area.right);
  for (size_t k = 0; k < nodes.size(); ++k) {
    const size_t i = nodes[k];
    const std::string colour = picture.colours(picture.value(i));
    canvas.line(placed.centre[i], {x[k], top}, {kMuted, 0.7, "2 2"});
    canvas.circle(placed.centre[i], placed.radius[i] + 1.2, colour, 1, kInk, 0.9);
    canvas.png({x[k] - kThumbnail / 2, top}, kThumbnail, kThumbnail, picture.figure.thumbnails[picture.layout.node[i]]);
    canvas.frame({x[k] - kThumbnail / 2, top}, kThumbnail, kThumbnail, {colour, 1.5});
    canvas.text({x[k], top + kThumbnail + 11}, short_number(picture.value(i)), {.size = 9, .anchor = Anchor::kMiddle, .colour = kMuted});
  }
}

std::string title_of(const TreeFigure& figure, const TreeLayout& layout) {
  if (layout.node.size() == figure.parent.size()) return figure.title;
  return fmt::format("{}{}{} of {} nodes drawn: the best and the most visited", figure.title, figure.title.empty() ? "" : " – ", layout.node.size(),
                     figure.parent.size());
}

double level_label_room(const TreeFigure& figure) {
  double widest = figure.level_labels.empty() ? 24 : 0;
  for (const auto& label : figure.level_labels) widest = std::max(widest, text_width(label, 10));
  return std::min(widest, 0.25 * static_cast<double>(figure.width));
}

}  // namespace

std::string tree_svg(const TreeFigure& figure) {
  check_tree(figure);
  const TreeLayout layout = lay_out_tree(figure);
  const auto width = static_cast<double>(figure.width), height = static_cast<double>(figure.height);
  double heaviest = 1e-9;
  for (const double weight : figure.weight) {
    if (std::isfinite(weight) && weight > 0) heaviest = std::max(heaviest, std::log1p(weight));
  }
  const auto [lowest, highest] = std::minmax_element(figure.level.begin(), figure.level.end());
  Canvas canvas(figure.width, figure.height);
  TreePicture picture{figure, layout, {}, ColourScale(figure.value), heaviest, *lowest, *highest};
  picture.area.left = level_label_room(figure) + 26;
  picture.area.right = width - kBarRoom - 22;
  picture.area.top = draw_heading(canvas, figure.width, title_of(figure, layout), {}) + 6;
  const auto pictured = pictured_nodes(picture);
  const double below = pictured.empty() ? 16 : kThumbnail + 46;
  picture.area.bottom = std::max(height - below, picture.area.top + 40);

  draw_levels(canvas, picture);
  const Placed placed = place(picture);
  draw_nodes(canvas, picture, placed);
  draw_thumbnails(canvas, picture, placed, pictured, picture.area.bottom + 26);
  draw_colour_bar(canvas, picture, width, picture.area.bottom - 20);
  return canvas.finish();
}

}  // namespace linden
