#include "experiment/table.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>
#include <set>

#include "experiment/numbers.h"

namespace linden {

namespace {

using Runs = std::vector<const RunRecord*>;

bool contains(const std::vector<std::string>& names, const std::string& name) { return std::find(names.begin(), names.end(), name) != names.end(); }

// Keys that say where and how a run was done, not what was asked. A name stands for the keys below it too.
const std::vector<std::string> kHousekeeping = {"output", "device", "threads", "executor", "judge", "save_every_seconds", "save_latents"};

// Is `key` one of `names`, or below one ("reward.digit" is below "reward")?
bool covered(const std::vector<std::string>& names, const std::string& key) {
  return std::any_of(names.begin(), names.end(), [&](const std::string& name) { return key == name || key.starts_with(name + "."); });
}

std::vector<std::string> joined(std::vector<std::string> a, const std::vector<std::string>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

void append_new(std::vector<std::string>& names, const std::vector<std::string>& more) {
  for (const std::string& name : more) {
    if (!contains(names, name)) names.push_back(name);
  }
}

// method.type, the budget if it differs at all, and what differs between runs of one method.
std::vector<std::string> automatic_rows(const Runs& runs, const std::vector<std::string>& ignored) {
  std::vector<std::string> keys;
  std::map<std::string, Runs> by_method;
  for (const RunRecord* run : runs) by_method[run->text("method.type")].push_back(run);
  if (by_method.size() > 1 || !by_method.contains("")) keys.push_back("method.type");
  if (contains(differing_keys(runs, ignored), "nfe")) keys.push_back("nfe");
  for (const auto& [method, group] : by_method) append_new(keys, differing_keys(group, ignored));
  // Runs without a method that differ in nothing or in many things are told apart by their folder.
  constexpr size_t kMostKeys = 3;
  if (by_method.contains("") && (keys.empty() || keys.size() > kMostKeys)) return {"run"};
  return keys;
}

// Metrics named by the request as far as some run has them; on every kind of features.
std::vector<std::string> present_columns(const Runs& runs, std::vector<std::string> wanted) {
  std::vector<std::string> present;
  for (const RunRecord* run : runs) append_new(present, run->metrics());
  if (wanted.empty()) wanted = default_columns(runs.front()->command());
  if (wanted.empty()) return present;
  std::vector<std::string> columns;
  for (const std::string& name : wanted) {
    const auto is_it = [&](const std::string& metric) { return metric == name || metric.starts_with(name + " [") || list_name(metric) == name; };
    std::vector<std::string> matching;
    std::copy_if(present.begin(), present.end(), std::back_inserter(matching), is_it);
    append_new(columns, matching);
  }
  return columns;
}

MetricInfo column_info(const std::string& key, const TableRequest& request) {
  MetricInfo info = metric_info(key);
  const std::string plain = key.substr(0, key.find(" ["));
  const auto named_in = [&](const std::vector<std::string>& names) { return contains(names, key) || contains(names, plain); };
  if (named_in(request.higher_is_better)) info.better = Better::kHigher;
  if (named_in(request.lower_is_better)) info.better = Better::kLower;
  info.label = relabelled(request.labels, key, info.label);
  return info;
}

std::string shown_key(const std::string& key, const std::string& value, const TableRequest& request) {
  const bool budget = key == "nfe" && !value.empty() && value.find_first_not_of("0123456789") == std::string::npos;
  return relabelled(request.labels, value, budget ? format_number(std::strtod(value.c_str(), nullptr)) : value_label(value));
}

// Groups in the order in which their first run comes.
std::vector<std::pair<std::vector<std::string>, Runs>> group_by(const Runs& runs, const std::vector<std::string>& keys) {
  std::vector<std::pair<std::vector<std::string>, Runs>> groups;
  for (const RunRecord* run : runs) {
    std::vector<std::string> values;
    for (const std::string& key : keys) values.push_back(run->text(key));
    auto group = std::find_if(groups.begin(), groups.end(), [&](const auto& g) { return g.first == values; });
    if (group == groups.end()) group = groups.insert(groups.end(), {values, {}});
    group->second.push_back(run);
  }
  return groups;
}

int method_rank(const std::string& value) {
  static const std::vector<std::string> kOrder = {"dts", "dts_unbiased", "dts_star", "best_of_n"};
  return static_cast<int>(std::find(kOrder.begin(), kOrder.end(), value) - kOrder.begin());
}

// By column: numbers by value, methods in the order in which linden names them, words by the alphabet.
bool comes_before(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i] == b[i]) continue;
    char *end_a = nullptr, *end_b = nullptr;
    const double x = std::strtod(a[i].c_str(), &end_a), y = std::strtod(b[i].c_str(), &end_b);
    if (!a[i].empty() && !b[i].empty() && !*end_a && !*end_b && x != y) return x < y;
    if (method_rank(a[i]) != method_rank(b[i])) return method_rank(a[i]) < method_rank(b[i]);
    return a[i] < b[i];
  }
  return false;
}

void mark_best(Table& table, double tolerance) {
  if (table.rows.size() < 2) return;
  for (size_t column = 0; column < table.columns.size(); ++column) {
    const Better better = table.columns[column].better;
    if (better == Better::kNeither) continue;
    std::vector<double> values;
    for (const TableRow& row : table.rows) {
      if (row.cells[column].value.count) values.push_back(row.cells[column].value.mean);
    }
    if (values.size() < 2) continue;
    const auto [low, high] = std::minmax_element(values.begin(), values.end());
    const double best = better == Better::kHigher ? *high : *low;
    for (TableRow& row : table.rows) {
      TableCell& cell = row.cells[column];
      cell.marked = cell.value.count && std::abs(cell.value.mean - best) <= tolerance * std::abs(best);
    }
  }
}

// Published columns: of what this table shows, then of what was measured there alone.
std::vector<MetricInfo> comparable_metrics(const Table& table, const References& references) {
  std::vector<MetricInfo> metrics = table.columns;
  for (const ReferenceRow& row : references.rows)
    for (const PublishedValue& value : row.values) {
      const auto same = [&](const MetricInfo& metric) { return metric.key.substr(0, metric.key.find(" [")) == value.metric; };
      if (std::none_of(metrics.begin(), metrics.end(), same)) metrics.push_back(metric_info(value.metric));
    }
  return metrics;
}

void add_published(Table& table, const References& references, std::vector<bool>* used) {
  for (const MetricInfo& column : comparable_metrics(table, references)) {
    std::vector<Statistic> values(table.rows.size());
    bool any = false;
    for (size_t r = 0; r < table.rows.size(); ++r) {
      for (size_t reference = 0; reference < references.rows.size(); ++reference) {
        const PublishedValue* value = references.rows[reference].find(column.key);
        if (!value || !references.rows[reference].matches(*table.rows[r].runs.front())) continue;
        values[r] = {value->mean, value->deviation, 1};
        any = true;
        if (used) (*used)[reference] = true;
        break;
      }
    }
    if (!any) continue;
    MetricInfo published = column;
    const size_t features = column.key.find(" [");  // theirs are never ours
    published.label = metric_info(column.key.substr(0, features)).label + (features == std::string::npos ? " (published)" : " (published, on other features)");
    table.published_columns.push_back(published);
    for (size_t r = 0; r < table.rows.size(); ++r) table.rows[r].published.push_back(values[r]);
  }
  if (!table.published_columns.empty()) {
    table.notes.push_back(
        fmt::format("Published: {}.{}{} These numbers are not linden's.", references.source, references.note.empty() ? "" : " ", references.note));
  }
}

void add_notes(Table& table, const TableRequest& request, const std::vector<std::string>& row_keys) {
  const std::vector<std::string> settled = joined(joined(request.over, row_keys), request.task);
  std::set<size_t> counts;
  for (const TableRow& row : table.rows) {
    counts.insert(row.runs.size());
    const std::vector<std::string> mixed = differing_keys(row.runs, settled);
    if (!mixed.empty()) { table.notes.push_back(fmt::format("Row \"{}\" averages over runs that also differ in {}.", row.label(), fmt::join(mixed, ", "))); }
    std::set<std::string> values;
    for (const RunRecord* run : row.runs) {
      std::string value;
      for (const std::string& key : request.over) value += run->text(key) + "|";
      values.insert(value);
    }
    if (mixed.empty() && values.size() < row.runs.size()) {
      table.notes.push_back(fmt::format("Row \"{}\" holds {} runs, but only {} different values of {}: some runs are repeats.", row.label(), row.runs.size(),
                                        values.size(), fmt::join(request.over, ", ")));
    }
  }
  if (*counts.rbegin() > 1) {
    const std::string number = counts.size() == 1 ? fmt::format("{}", *counts.begin()) : fmt::format("{} to {}", *counts.begin(), *counts.rbegin());
    table.notes.push_back(fmt::format("Mean ± standard deviation over {} runs a row ({}).", number, fmt::join(request.over, ", ")));
  }
  const bool any_marked = std::any_of(table.rows.begin(), table.rows.end(), [](const TableRow& row) {
    return std::any_of(row.cells.begin(), row.cells.end(), [](const TableCell& cell) { return cell.marked; });
  });
  if (any_marked) table.notes.push_back(fmt::format("Bold: the best of its column and what lies within {:g} % of it.", 100 * request.tolerance));
}

}  // namespace

double Statistic::standard_error() const { return count > 0 ? deviation / std::sqrt(static_cast<double>(count)) : 0; }

Statistic statistic_of(const std::vector<double>& values) {
  Statistic result;
  double sum = 0, squares = 0;
  for (const double value : values) {
    if (std::isnan(value)) continue;
    sum += value;
    ++result.count;
  }
  if (result.count == 0) return result;
  result.mean = sum / static_cast<double>(result.count);
  for (const double value : values) {
    if (!std::isnan(value)) squares += (value - result.mean) * (value - result.mean);
  }
  if (result.count > 1) result.deviation = std::sqrt(squares / static_cast<double>(result.count - 1));
  return result;
}

std::string TableRow::label() const {
  std::vector<std::string> shown;
  std::copy_if(keys.begin(), keys.end(), std::back_inserter(shown), [](const std::string& key) { return !key.empty(); });
  return shown.empty() ? "all runs" : fmt::format("{}", fmt::join(shown, ", "));
}

std::string relabelled(const std::vector<std::string>& labels, const std::string& name, const std::string& fallback) {
  for (const std::string& label : labels) {
    const size_t equals = label.find('=');
    if (equals != std::string::npos && label.substr(0, equals) == name) return label.substr(equals + 1);
  }
  return fallback;
}

std::vector<std::string> differing_keys(const std::vector<const RunRecord*>& runs, const std::vector<std::string>& ignored) {
  std::vector<std::string> keys, differing;
  for (const RunRecord* run : runs) {
    for (const JsonScalar& scalar : run->config()) {
      if (!contains(keys, scalar.path)) keys.push_back(scalar.path);
    }
  }
  for (const std::string& key : keys) {
    if (covered(ignored, key) || covered(kHousekeeping, key)) continue;
    const std::string first = runs.front()->text(key);
    if (std::any_of(runs.begin(), runs.end(), [&](const RunRecord* run) { return run->text(key) != first; })) differing.push_back(key);
  }
  return differing;
}

Table make_table(const std::vector<const RunRecord*>& runs, const TableRequest& request, const References& references, std::vector<bool>* used) {
  Table table;
  if (runs.empty()) return table;
  const std::vector<std::string> ignored = joined(request.over, request.task);
  table.key_columns = request.rows.empty() ? automatic_rows(runs, ignored) : request.rows;
  for (const std::string& key : table.key_columns) table.key_labels.push_back(relabelled(request.labels, key, key_label(key)));
  for (const std::string& key : present_columns(runs, request.columns)) table.columns.push_back(column_info(key, request));

  auto groups = group_by(runs, table.key_columns);
  std::stable_sort(groups.begin(), groups.end(), [](const auto& a, const auto& b) { return comes_before(a.first, b.first); });
  for (const auto& [values, group] : groups) {
    TableRow row;
    for (size_t k = 0; k < values.size(); ++k) row.keys.push_back(shown_key(table.key_columns[k], values[k], request));
    row.runs = group;
    for (const MetricInfo& column : table.columns) {
      std::vector<double> numbers;
      for (const RunRecord* run : group) numbers.push_back(run->number(column.key));
      row.cells.push_back({statistic_of(numbers), false});
    }
    table.rows.push_back(std::move(row));
  }
  mark_best(table, request.tolerance);
  add_published(table, references, used);
  add_notes(table, request, table.key_columns);
  return table;
}

}  // namespace linden
