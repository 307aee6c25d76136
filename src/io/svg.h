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
  std::vector<double> low, high;   // band; empty or as long as y
};
struct CurveFigure {
  std::string title;
  Axis x, y;
  std::vector<Curve> curves;
  std::vector<std::pair<std::string, double>> horizontal_lines;  // reference values, dashed
  int64_t width = 640, height = 400;
};
std::string curves_svg(const CurveFigure& figure);

struct BarFigure {
  std::string title;
  std::string y_label;
  std::vector<std::string> groups;                               // labels along x
  std::vector<std::pair<std::string, std::vector<double>>> series;  // one value a group; NaN: no bar
  int64_t width = 640, height = 400;
};
std::string bars_svg(const BarFigure& figure);

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
  std::vector<double> value;        // colours the node
  std::vector<double> weight;       // its size (visit count)
  std::vector<std::string> level_labels;  // label of level l at index l; empty: the numbers
  std::vector<std::string> thumbnails;    // one a node: a PNG file in base64 or ""; the best that fit are drawn
  std::string value_label = "value";
  int64_t width = 900, height = 480;
};
std::string tree_svg(const TreeFigure& figure);

std::string base64(const std::string& bytes);

}  // namespace linden
