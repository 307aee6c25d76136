// One small SVG writer: curves with bands, bars, scatter plots and trees. Figures are inlined in report.html;
// no Python at run time. Colours are colour-blind safe and work on white.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace linden {

struct Axis {
  std::string label;
  bool logarithmic = false;
};

struct Curve {
  std::string label;
  std::vector<double> x, y;
  std::vector<double> low, high;  // band; empty or as long as y
  std::string colour = {};        // "#rrggbb"; empty: by its place among the curves
};
// Where the colours of curves mean a number: a bar under the legend, from `low` to `high`.
struct ColourBar {
  std::string label, low, high;
  bool shown() const { return !label.empty(); }
};
struct CurveFigure {
  std::string title;
  Axis x, y;
  std::vector<Curve> curves;
  std::vector<std::pair<std::string, double>> horizontal_lines;     // reference values, dashed
  std::vector<std::pair<std::string, double>> vertical_lines = {};  // events, labelled above
  ColourBar colour_bar = {};
  int64_t width = 640, height = 400;
};
// Colour of a place in 0..1 on that bar: viridis without the yellow that white swallows.
std::string scale_colour(double position);
std::string curves_svg(const CurveFigure& figure);

struct BarFigure {
  std::string title;
  std::string y_label;
  std::vector<std::string> groups;                                  // labels along x
  std::vector<std::pair<std::string, std::vector<double>>> series;  // one value a group; NaN: no bar
  int64_t width = 640, height = 400;
};
std::string bars_svg(const BarFigure& figure);

// Values over x (columns) and ranges of y (rows) as colours.
struct HeatMapFigure {
  std::string title, x_label, y_label, value_label;
  std::vector<double> x;                     // rising; a column reaches half way to its neighbours
  std::vector<std::pair<double, double>> y;  // low and high edge of each row, rising
  std::vector<std::vector<double>> values;   // [rows][columns]; NaN (and <= 0 where logarithmic): left empty
  bool logarithmic = true;                   // the colours
  std::vector<std::pair<std::string, double>> vertical_lines;
  int64_t width = 640, height = 340;
};
std::string heat_map_svg(const HeatMapFigure& figure);

// Rows of numbered cells, each of one kind (which layers of a network are what).
struct CellFigure {
  std::string title, x_label;
  std::vector<std::string> kinds;                                  // in the legend; at most seven
  std::vector<std::pair<std::string, std::vector<int64_t>>> rows;  // label, kind of each cell
  int64_t width = 640;
};
std::string cells_svg(const CellFigure& figure);

struct ScatterFigure {
  std::string title;
  Axis x, y;
  std::vector<std::pair<std::string, std::vector<std::pair<double, double>>>> series;
  int64_t width = 480, height = 480;
};
std::string scatter_svg(const ScatterFigure& figure);

// A rooted tree, levels from top to bottom. Nodes in any order with parent < own index; parent -1 is the root, node 0.
// A node's level is larger than its parent's. Of more than about 1500 nodes the best and the most visited are drawn.
struct TreeFigure {
  std::string title;
  std::vector<int64_t> parent, level;
  std::vector<double> value;              // colours the node
  std::vector<double> weight;             // its size (visit count)
  std::vector<std::string> level_labels;  // label of level l at index l; empty: the numbers
  std::vector<std::string> thumbnails;    // one a node: a PNG file in base64 or ""; the best that fit are drawn
  std::string value_label = "value";
  int64_t width = 900, height = 480;
};
std::string tree_svg(const TreeFigure& figure);

std::string base64(const std::string& bytes);

}  // namespace linden
