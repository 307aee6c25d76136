// Scales, ticks, axes and legends of the figures with two axes. Internal to src/io.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "io/svg.h"
#include "io/svg_canvas.h"

namespace linden::svg {

// The values that an axis has to show. Values that it cannot (not finite, or <= 0 on a logarithmic axis)
// are left out.
class Extent {
 public:
  explicit Extent(bool logarithmic) : logarithmic_(logarithmic) {}
  bool shows(double value) const;
  void include(double value);
  // Low and high end with a margin of `margin` of the length; a sensible range where there are no values.
  std::pair<double, double> padded(double margin) const;

 private:
  bool logarithmic_, any_ = false;
  double low_ = 0, high_ = 0;
};

struct Tick {
  double value = 0;
  std::string label;  // "" for a tick between the labelled ones
};

// 1-2-5 ticks inside [low, high], about `wanted` of them.
std::vector<Tick> linear_ticks(double low, double high, int wanted);
// Decades inside [low, high], thinned to about `wanted`; 2 and 5 between them where there are few.
std::vector<Tick> logarithmic_ticks(double low, double high, int wanted);

// From values to pixels.
class Scale {
 public:
  Scale(bool logarithmic, std::pair<double, double> range, double first_pixel, double last_pixel);
  double operator()(double value) const;
  const std::vector<Tick>& ticks() const { return ticks_; }
  bool shows(double value) const { return extent_.shows(value); }

 private:
  bool logarithmic_;
  Extent extent_;
  double low_, high_, first_, last_;
  std::vector<Tick> ticks_;
};

struct LegendEntry {
  std::string label, colour, dashes;
  enum class Mark { kLine, kBox, kDot } mark = Mark::kLine;
};

// Where the plot is, after title, legend and axis labels have taken their room.
struct PlotArea {
  double left = 0, top = 0, right = 0, bottom = 0;
};

// Draws the title and, in rows under it, the legend; returns where they end.
double draw_heading(Canvas& canvas, int64_t width, const std::string& title, const std::vector<LegendEntry>& legend);
// A bar of colours with its label and the numbers at its ends, in the row at `top`; returns where it ends.
double draw_colour_bar(Canvas& canvas, double top, const ColourBar& scale);
// Room above the plot for the labels of events.
inline constexpr double kEventRoom = 12;
// Dashed lines across the plot, their labels above it; in rising order.
void draw_events(Canvas& canvas, const PlotArea& area, const Scale& x, const std::vector<std::pair<std::string, double>>& events);
// Room for the labels of a vertical axis with this range.
double y_label_room(bool logarithmic, std::pair<double, double> range, double height);
// Grid lines, tick labels and the axis titles.
void draw_x_axis(Canvas& canvas, const PlotArea& area, const Scale& scale, const std::string& label);
void draw_y_axis(Canvas& canvas, const PlotArea& area, const Scale& scale, const std::string& label);

}  // namespace linden::svg
