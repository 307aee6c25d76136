#include "experiment/run_curves.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "core/error.h"
#include "experiment/csv_columns.h"

namespace linden {

namespace {

namespace fs = std::filesystem;

// The names under which runs write the time.
const std::vector<double>* find_axis(const CsvColumns& columns, const std::string& axis) {
  const std::vector<double>* values = columns.find(axis);
  return !values && axis == "wall_seconds" ? columns.find("seconds") : values;
}

// The last value of `curve` at or before x.
double value_at(const Curve& curve, double x) {
  const auto after = std::upper_bound(curve.x.begin(), curve.x.end(), x);
  return curve.y[static_cast<size_t>(std::max<std::ptrdiff_t>(after - curve.x.begin() - 1, 0))];
}

std::string axis_label(const std::string& axis) {
  if (axis == "nfe") return "function evaluations (NFE)";
  if (axis == "wall_seconds") return "wall time, s";
  return axis;
}

}  // namespace

Curve run_curve(const RunRecord& run, const std::string& quantity, const std::string& axis) {
  Curve curve;
  for (const char* name : {"curve.csv", "metrics.csv"}) {
    const fs::path file = run.folder() / name;
    if (!fs::exists(file) || fs::file_size(file) == 0) continue;  // a run that logged nothing leaves an empty file
    const CsvColumns columns = read_csv_columns(file);
    const std::vector<double>*x = find_axis(columns, axis), *y = columns.find(quantity);
    if (!x || !y) continue;
    for (size_t i = 0; i < x->size(); ++i) {
      if (!std::isfinite((*x)[i]) || !std::isfinite((*y)[i])) continue;
      if (!curve.x.empty() && (*x)[i] <= curve.x.back()) continue;  // an axis only grows
      curve.x.push_back((*x)[i]);
      curve.y.push_back((*y)[i]);
    }
    return curve;
  }
  return curve;
}

std::vector<std::string> curve_columns(const RunRecord& run) {
  std::vector<std::string> names;
  for (const char* name : {"curve.csv", "metrics.csv"}) {
    const fs::path file = run.folder() / name;
    if (!fs::exists(file) || fs::file_size(file) == 0) continue;
    try {
      const CsvColumns columns = read_csv_columns(file);
      names.insert(names.end(), columns.names.begin(), columns.names.end());
    } catch (const InputError&) {
      // The report lists the file where it would be drawn.
    }
  }
  return names;
}

Curve mean_curve(const std::vector<Curve>& curves, const std::string& label) {
  Curve result;
  result.label = label;
  std::set<double> grid;
  double first = -std::numeric_limits<double>::infinity(), last = std::numeric_limits<double>::infinity();
  std::vector<const Curve*> filled;
  for (const Curve& curve : curves) {
    if (curve.x.empty()) continue;
    filled.push_back(&curve);
    grid.insert(curve.x.begin(), curve.x.end());
    first = std::max(first, curve.x.front());
    last = std::min(last, curve.x.back());
  }
  for (const double x : grid) {
    if (x < first || x > last) continue;
    std::vector<double> values;
    for (const Curve* curve : filled) values.push_back(value_at(*curve, x));
    const Statistic statistic = statistic_of(values);
    result.x.push_back(x);
    result.y.push_back(statistic.mean);
    if (filled.size() < 2) continue;
    result.low.push_back(statistic.mean - statistic.deviation);
    result.high.push_back(statistic.mean + statistic.deviation);
  }
  return result;
}

CurveFigure row_curves(const std::vector<const TableRow*>& rows, const std::string& quantity, const std::string& axis, const std::string& label) {
  CurveFigure figure;
  figure.title = label;
  figure.x = {axis_label(axis), false};
  figure.width = 460;
  figure.height = 340;
  double smallest = std::numeric_limits<double>::infinity(), largest = 0;
  for (const TableRow* row : rows) {
    std::vector<Curve> curves;
    for (const RunRecord* run : row->runs) curves.push_back(run_curve(*run, quantity, axis));
    figure.curves.push_back(mean_curve(curves, row->label()));
    for (const double x : figure.curves.back().x) {
      if (x > 0) smallest = std::min(smallest, x);
      largest = std::max(largest, x);
    }
  }
  constexpr double kWideRange = 20;  // budgets that span more than this are seen on a logarithmic axis
  figure.x.logarithmic = largest > kWideRange * smallest;
  return figure;
}

CurveFigure metric_against(const Table& table, size_t column, const std::string& key, const std::string& axis) {
  CurveFigure figure;
  figure.title = table.columns[column].label;
  figure.x = {axis_label(axis), true};
  figure.width = 460;
  figure.height = 340;
  const auto position = static_cast<size_t>(std::find(table.key_columns.begin(), table.key_columns.end(), key) - table.key_columns.begin());
  if (position == table.key_columns.size()) return figure;
  std::map<std::string, std::vector<const TableRow*>> sets;
  std::vector<std::string> order;
  for (const TableRow& row : table.rows) {
    TableRow without = row;
    without.keys.erase(without.keys.begin() + static_cast<std::ptrdiff_t>(position));
    const std::string label = without.label();
    if (!sets.contains(label)) order.push_back(label);
    sets[label].push_back(&row);
  }
  bool any_line = false;
  for (const std::string& label : order) {
    std::vector<std::pair<double, Statistic>> points;
    for (const TableRow* row : sets[label]) {
      std::vector<double> xs;
      for (const RunRecord* run : row->runs) xs.push_back(run->number(axis));
      if (row->cells[column].value.count) points.emplace_back(statistic_of(xs).mean, row->cells[column].value);
    }
    std::sort(points.begin(), points.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    any_line = any_line || points.size() > 1;
    const bool banded = std::any_of(points.begin(), points.end(), [](const auto& point) { return point.second.count > 1; });
    Curve curve;
    curve.label = label;
    for (const auto& [x, value] : points) {
      curve.x.push_back(x);
      curve.y.push_back(value.mean);
      if (!banded) continue;
      curve.low.push_back(value.mean - value.deviation);
      curve.high.push_back(value.mean + value.deviation);
    }
    figure.curves.push_back(std::move(curve));
  }
  if (!any_line) figure.curves.clear();
  return figure;
}

}  // namespace linden
