#include "experiment/transfer_figures.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>

namespace linden {
namespace {

constexpr size_t kNamedLayers = 7;  // up to so many curves are named one by one; more share a bar of colours
constexpr size_t kMapColumns = 160;
constexpr double kDepth = 1e-6;  // a logarithmic axis reaches down to this share of its largest value
constexpr const char* kPush = "#1a1a1a";
constexpr const char* kSecondPush = "#d55e00";

std::vector<std::pair<std::string, double>> events(CommitStep commit) {
  if (!commit) return {};
  return {{fmt::format("commit {}", *commit), static_cast<double>(*commit)}};
}

std::string depth_colour(int64_t layer, int64_t num_layers) {
  return scale_colour(num_layers < 2 ? 0.0 : static_cast<double>(layer) / static_cast<double>(num_layers - 1));
}

// One curve a layer of `value` of its rows.
template <class Value>
void add_layers(CurveFigure& figure, const std::vector<LayerRow>& rows, int64_t num_layers, Value&& value) {
  std::map<int64_t, Curve> curves;
  for (const LayerRow& row : rows) {
    curves[row.layer].x.push_back(static_cast<double>(row.step));
    curves[row.layer].y.push_back(value(row));
  }
  const bool named = curves.size() <= kNamedLayers;
  for (auto& [layer, curve] : curves) {
    curve.colour = depth_colour(layer, num_layers);
    if (named) curve.label = fmt::format("layer {}", layer);
    figure.curves.push_back(std::move(curve));
  }
  if (!named) figure.colour_bar = {"layer", "0", std::to_string(num_layers - 1)};
}

// Mean over the layers of each step.
template <class Value>
Curve mean_over_layers(const std::vector<LayerRow>& rows, Value&& value) {
  std::map<int64_t, std::pair<double, int64_t>> sums;
  for (const LayerRow& row : rows) {
    sums[row.step].first += value(row);
    ++sums[row.step].second;
  }
  Curve curve;
  for (const auto& [step, sum] : sums) {
    curve.x.push_back(static_cast<double>(step));
    curve.y.push_back(sum.first / static_cast<double>(sum.second));
  }
  return curve;
}

// Takes out what is so small that showing it would press all else together.
void limit_depth(std::vector<Curve>& curves) {
  double largest = 0;
  for (const Curve& curve : curves)
    for (const double y : curve.y) largest = std::isfinite(y) ? std::max(largest, y) : largest;
  for (Curve& curve : curves)
    for (double& y : curve.y)
      if (y < kDepth * largest) y = std::numeric_limits<double>::quiet_NaN();
}

using Edges = std::pair<double, double>;

// Mean of rows by their counts.
struct Gap {
  double sum = 0;
  int64_t count = 0;
  void add(const BinRow& row) {
    if (row.count < 1) return;
    sum += row.velocity_error * static_cast<double>(row.count);
    count += row.count;
  }
  double mean() const { return count ? sum / static_cast<double>(count) : std::numeric_limits<double>::quiet_NaN(); }
};

std::vector<int64_t> steps_of(const std::vector<BinRow>& rows) {
  std::set<int64_t> steps;
  for (const BinRow& row : rows) steps.insert(row.step);
  return {steps.begin(), steps.end()};
}

}  // namespace

CurveFigure scores_figure(const std::vector<LayerRow>& rows, int64_t num_layers, CommitStep commit) {
  CurveFigure figure;
  figure.title = "Score r of each layer";
  figure.x.label = "step";
  figure.y.label = "r (1: softmax, 0: linear)";
  add_layers(figure, rows, num_layers, [](const LayerRow& row) { return row.r; });
  figure.vertical_lines = events(commit);
  figure.width = 900;
  figure.height = 420;
  return figure;
}

CurveFigure gate_gradient_figure(const std::vector<LayerRow>& rows, int64_t num_layers, CommitStep commit) {
  CurveFigure figure;
  figure.title = "Size of the gradients by r";
  figure.x.label = "step";
  figure.y = {"|gradient by r|", true};
  add_layers(figure, rows, num_layers, [](const LayerRow& row) { return std::abs(row.grad_matching); });
  Curve constraint = mean_over_layers(rows, [](const LayerRow& row) { return std::abs(row.grad_constraint); });
  constraint.label = "constraint on the count";
  constraint.colour = kPush;
  Curve regulariser = mean_over_layers(rows, [](const LayerRow& row) { return std::abs(row.grad_regulariser); });
  regulariser.label = "regulariser, mean over layers";
  regulariser.colour = kSecondPush;
  figure.curves.push_back(std::move(constraint));
  figure.curves.push_back(std::move(regulariser));
  limit_depth(figure.curves);
  if (figure.colour_bar.shown()) figure.colour_bar.label = "matching loss, layer";
  figure.vertical_lines = events(commit);
  figure.width = 900;
  figure.height = 420;
  return figure;
}

CellFigure layer_map_figure(const std::vector<int64_t>& linear, int64_t num_layers, const std::string& label) {
  CellFigure figure;
  figure.title = label;
  figure.kinds = {"softmax", "linear"};
  figure.rows.push_back({"", std::vector<int64_t>(static_cast<size_t>(num_layers), 0)});
  for (const int64_t layer : linear)
    if (layer >= 0 && layer < num_layers) figure.rows[0].second[static_cast<size_t>(layer)] = 1;
  figure.x_label = "layers, counted from 0";
  figure.width = 900;
  return figure;
}

HeatMapFigure gap_map_figure(const std::vector<BinRow>& rows, CommitStep commit) {
  HeatMapFigure figure;
  figure.title = "Velocity error by time of the trajectory";
  figure.x_label = "step";
  figure.y_label = "sigma (1: noise)";
  figure.value_label = "velocity error";
  figure.vertical_lines = events(commit);
  figure.width = 900;
  const std::vector<int64_t> steps = steps_of(rows);
  const size_t stride = (steps.size() + kMapColumns - 1) / kMapColumns;
  std::map<int64_t, size_t> column_of;
  for (size_t i = 0; i < steps.size(); ++i) {
    column_of[steps[i]] = i / stride;
    if (i % stride == 0) figure.x.push_back(0);
  }
  std::vector<int64_t> group(figure.x.size(), 0);
  for (const int64_t step : steps) {
    figure.x[column_of[step]] += static_cast<double>(step);
    ++group[column_of[step]];
  }
  for (size_t c = 0; c < group.size(); ++c) figure.x[c] /= static_cast<double>(group[c]);
  std::map<Edges, std::vector<Gap>> gaps;
  for (const BinRow& row : rows) {
    auto& line = gaps[{row.sigma_low, row.sigma_high}];
    line.resize(figure.x.size());
    line[column_of[row.step]].add(row);
  }
  for (const auto& [edges, line] : gaps) {
    figure.y.push_back(edges);
    figure.values.emplace_back();
    for (const Gap& gap : line) figure.values.back().push_back(gap.mean());
  }
  return figure;
}

CurveFigure gap_by_time_figure(const std::vector<BinRow>& rows, CommitStep commit) {
  CurveFigure figure;
  figure.title = "Velocity error against sigma";
  figure.x.label = "sigma (1: noise)";
  figure.y = {"velocity error", true};
  figure.width = 900;
  figure.height = 380;
  const std::vector<int64_t> steps = steps_of(rows);
  std::vector<std::pair<std::string, int64_t>> shown;
  const auto show = [&](const std::string& what, int64_t step) {
    if (std::ranges::none_of(shown, [&](const auto& entry) { return entry.second == step; })) shown.emplace_back(fmt::format("{}, {}", what, step), step);
  };
  if (!steps.empty()) {
    show("first step", steps.front());
    if (commit) {
      const auto after = std::ranges::upper_bound(steps, *commit);
      if (after != steps.begin()) show("before the commit", *std::prev(after));
      if (after != steps.end()) show("after it", *after);
    }
    show("newest", steps.back());
  }
  for (const auto& [label, step] : shown) {
    Curve curve;
    curve.label = label;
    std::map<Edges, Gap> gaps;
    for (const BinRow& row : rows)
      if (row.step == step) gaps[{row.sigma_low, row.sigma_high}].add(row);
    for (const auto& [edges, gap] : gaps) {
      if (!gap.count) continue;
      curve.x.push_back((edges.first + edges.second) / 2);
      curve.y.push_back(gap.mean());
    }
    figure.curves.push_back(std::move(curve));
  }
  return figure;
}

CurveFigure metrics_figure(const CsvColumns& metrics, const std::vector<std::string>& names, const std::string& title, CommitStep commit) {
  CurveFigure figure;
  figure.title = title;
  figure.x.label = "step";
  figure.width = 460;
  figure.height = 320;
  const std::vector<double>* steps = metrics.find("step");
  double low = std::numeric_limits<double>::infinity(), high = 0;  // of the values above 0
  bool negative = false;
  for (const std::string& name : names) {
    const std::vector<double>* values = metrics.find(name);
    if (!values || !steps) continue;
    Curve curve;
    if (names.size() > 1) curve.label = name;  // else the title says it
    for (size_t i = 0; i < values->size(); ++i) {
      if (!std::isfinite((*values)[i])) continue;  // a column that has no number at this step
      curve.x.push_back((*steps)[i]);
      curve.y.push_back((*values)[i]);
      negative = negative || (*values)[i] < 0;
      if ((*values)[i] > 0) low = std::min(low, (*values)[i]);
      high = std::max(high, (*values)[i]);
    }
    if (!curve.x.empty()) figure.curves.push_back(std::move(curve));
  }
  constexpr double kWide = 20;
  figure.y.logarithmic = !negative && high > kWide * low;
  if (figure.y.logarithmic) limit_depth(figure.curves);
  if (!figure.curves.empty()) figure.vertical_lines = events(commit);
  return figure;
}

}  // namespace linden
