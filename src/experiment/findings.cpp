#include "experiment/findings.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>

#include "experiment/numbers.h"

namespace linden {

namespace {

using Rows = std::vector<const TableRow*>;

std::optional<size_t> column_of(const Table& table, const std::string& metric) {
  for (size_t c = 0; c < table.columns.size(); ++c) {
    const std::string& key = table.columns[c].key;
    if (key == metric || key.starts_with(metric + " [")) return c;
  }
  return std::nullopt;
}

// "a", "a and b", "a, b and c".
std::string enumerated(const std::vector<std::string>& names) {
  if (names.size() < 2) return names.empty() ? "" : names.front();
  return fmt::format("{} and {}", fmt::join(names.begin(), names.end() - 1, ", "), names.back());
}

// "Mean log reward" -> "mean log reward"; "NFE" and "KID" keep their capitals.
std::string in_sentence(std::string label) {
  if (label.size() > 1 && std::islower(static_cast<unsigned char>(label[1]))) label[0] = static_cast<char>(std::tolower(label[0]));
  return label;
}

std::string metric_phrase(const MetricInfo& metric) {
  if (metric.key == "judged_share") return "share that the judge reads as asked";
  if (metric.key == "num_distinct") return "number of distinct samples";
  return in_sentence(metric.label);
}

std::string value_of(const TableRow& row, size_t column, const MetricInfo& metric) {
  return fmt::format("{} ({})", row.label(), format_number(row.cells[column].value.mean, metric.display));
}

std::string difference_of(double a, double b, Display display) {
  if (display == Display::kPercent) return fmt::format("{:.1f} percentage points", 100 * std::abs(a - b));
  return format_number(std::abs(a - b));
}

// Rows that have the number, best first.
Rows ranked(const Rows& rows, size_t column, Better better) {
  Rows order;
  std::copy_if(rows.begin(), rows.end(), std::back_inserter(order), [&](const TableRow* row) { return row->cells[column].value.count > 0; });
  std::stable_sort(order.begin(), order.end(), [&](const TableRow* a, const TableRow* b) {
    const double x = a->cells[column].value.mean, y = b->cells[column].value.mean;
    return better == Better::kHigher ? x > y : x < y;
  });
  return order;
}

std::string gaps_to(const Rows& behind, const TableRow& best, size_t column, const MetricInfo& metric) {
  std::vector<std::string> gaps;
  for (const TableRow* row : behind) {
    gaps.push_back(fmt::format("{} {} {}", difference_of(best.cells[column].value.mean, row->cells[column].value.mean, metric.display),
                               metric.better == Better::kHigher ? "above" : "below", value_of(*row, column, metric)));
  }
  return enumerated(gaps);
}

// The rows that share the largest value of the key "nfe" (all rows if it is no key), and those of the smallest.
struct Budgets {
  Rows largest, smallest;
  std::string largest_label, smallest_label;
  bool several = false;
};
Budgets budgets_of(const Table& table) {
  Budgets budgets;
  if (std::find(table.key_columns.begin(), table.key_columns.end(), "nfe") == table.key_columns.end()) {
    for (const TableRow& row : table.rows) budgets.largest.push_back(&row);
    return budgets;
  }
  std::map<double, Rows> by_budget;
  for (const TableRow& row : table.rows) by_budget[std::strtod(row.runs.front()->text("nfe").c_str(), nullptr)].push_back(&row);
  budgets.largest = by_budget.rbegin()->second;
  budgets.smallest = by_budget.begin()->second;
  budgets.largest_label = format_number(by_budget.rbegin()->first);
  budgets.smallest_label = format_number(by_budget.begin()->first);
  budgets.several = by_budget.size() > 1;
  return budgets;
}

std::string without_budget(const Table& table, const TableRow& row) {
  TableRow copy = row;
  const auto key = std::find(table.key_columns.begin(), table.key_columns.end(), "nfe");
  if (key != table.key_columns.end()) copy.keys.erase(copy.keys.begin() + (key - table.key_columns.begin()));
  return copy.label();
}

// The rows of the largest budget, without the key that names it.
Table largest_budget_table(Table table) {
  const auto position = std::find(table.key_columns.begin(), table.key_columns.end(), "nfe") - table.key_columns.begin();
  const Rows largest = budgets_of(table).largest;
  std::vector<TableRow> rows;
  for (const TableRow* row : largest) {
    rows.push_back(*row);
    rows.back().keys.erase(rows.back().keys.begin() + position);
  }
  table.rows = std::move(rows);
  table.key_columns.erase(table.key_columns.begin() + position);
  table.key_labels.erase(table.key_labels.begin() + position);
  return table;
}

// Each starts with a capital; empty ones are left out.
std::string joined_sentences(std::vector<std::string> sentences) {
  std::erase(sentences, "");
  for (std::string& sentence : sentences) sentence[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(sentence[0])));
  return fmt::format("{}", fmt::join(sentences, " "));
}

// "From 500 to 2,000 NFE the mean log reward moves for DTS from -0.30 to -0.12, ..."
std::string budget_sentence(const Table& table, const Budgets& budgets, const std::vector<std::string>& metrics) {
  std::optional<size_t> column;
  for (size_t m = 0; m < metrics.size() && !column; ++m) column = column_of(table, metrics[m]);
  if (!budgets.several || !column) return "";
  const MetricInfo& metric = table.columns[*column];
  std::vector<std::string> moves;
  for (const TableRow* large : budgets.largest) {
    for (const TableRow* small : budgets.smallest) {
      if (without_budget(table, *large) != without_budget(table, *small)) continue;
      if (!large->cells[*column].value.count || !small->cells[*column].value.count) continue;
      moves.push_back(fmt::format("{} from {} to {}", without_budget(table, *large), format_number(small->cells[*column].value.mean, metric.display),
                                  format_number(large->cells[*column].value.mean, metric.display)));
    }
  }
  return moves.empty()
             ? ""
             : fmt::format("From {} to {} NFE the {} goes: {}.", budgets.smallest_label, budgets.largest_label, metric_phrase(metric), enumerated(moves));
}

std::string trade_sentence(const Table& table, const Rows& rows, double tolerance) {
  const auto reward = column_of(table, "mean_reward"), variety = column_of(table, "diversity");
  if (!reward || !variety) return "";
  const Rows by_reward = ranked(rows, *reward, Better::kHigher), by_variety = ranked(rows, *variety, Better::kHigher);
  if (by_reward.size() < 2 || by_variety.size() < 2 || by_reward.front() != by_variety.back()) return "";
  if (is_tie(by_variety.front()->cells[*variety].value, by_variety.back()->cells[*variety].value, tolerance)) return "";
  if (is_tie(by_reward[0]->cells[*reward].value, by_reward[1]->cells[*reward].value, tolerance, table.columns[*reward].negligible)) return "";
  return fmt::format("The highest reward comes with the least variety here: {} leads in the one and is last in the other.", by_reward.front()->label());
}

std::string unequal_budget_sentence(const Table& table, const Rows& rows) {
  const auto nfe = column_of(table, "nfe");
  if (!nfe) return "";
  const Rows order = ranked(rows, *nfe, Better::kLower);
  constexpr double kFair = 1.1;
  if (order.size() < 2) return "";
  const double least = order.front()->cells[*nfe].value.mean, most = order.back()->cells[*nfe].value.mean;
  if (most <= kFair * least) return "";
  return fmt::format("The rows did not spend the same: {} NFE ({}) to {} NFE ({}), so they are not compared on equal terms.", format_number(least),
                     order.front()->label(), format_number(most), order.back()->label());
}

std::string trust_sentence(const Rows& rows, double tolerance) {
  size_t fewest = rows.front()->runs.size(), most = fewest;
  for (const TableRow* row : rows) {
    fewest = std::min(fewest, row->runs.size());
    most = std::max(most, row->runs.size());
  }
  const std::string tie = fmt::format("A tie is a difference within {:g} % of the best ({:g} for log rewards)", 100 * tolerance, kNegligibleLogReward);
  if (most == 1) {
    return "Every row is a single run with one seed: differences of this size can come from the seed alone, and another seed may order the rows differently. " +
           tie + ".";
  }
  const std::string number = fewest == most ? fmt::format("{}", most) : fmt::format("{} to {}", fewest, most);
  return fmt::format("The numbers are means over {} runs a row. {}, or below twice its standard error{}.", number, tie,
                     fewest < 5 ? "; with so few runs the standard error itself is rough" : "");
}

}  // namespace

bool is_tie(const Statistic& best, const Statistic& other, double tolerance, double negligible) {
  const double difference = std::abs(best.mean - other.mean);
  if (difference <= std::max(tolerance * std::abs(best.mean), negligible)) return true;
  if (best.count < 2 || other.count < 2) return false;
  return difference < 2 * std::hypot(best.standard_error(), other.standard_error());
}

std::string comparison_sentence(const Table& table, size_t column, const std::vector<const TableRow*>& rows, double tolerance) {
  const MetricInfo& metric = table.columns[column];
  if (metric.better == Better::kNeither) return "";
  const Rows order = ranked(rows, column, metric.better);
  if (order.size() < 2) return "";
  const char* superlative = metric.better == Better::kHigher ? "highest" : "lowest";
  const TableRow& best = *order.front();
  Rows tied, behind;
  for (size_t i = 1; i < order.size(); ++i) {
    (is_tie(best.cells[column].value, order[i]->cells[column].value, tolerance, metric.negligible) ? tied : behind).push_back(order[i]);
  }
  std::vector<std::string> front = {value_of(best, column, metric)};
  for (const TableRow* row : tied) front.push_back(value_of(*row, column, metric));
  if (behind.empty()) return fmt::format("In {} there is a tie: {}.", metric_phrase(metric), enumerated(front));
  if (tied.empty()) {
    return fmt::format("{} has the {} {}, {}: {}.", best.label(), superlative, metric_phrase(metric),
                       format_number(best.cells[column].value.mean, metric.display), gaps_to(behind, best, column, metric));
  }
  return fmt::format("{} tie for the {} {}; the best of them is {}.", enumerated(front), superlative, metric_phrase(metric),
                     gaps_to(behind, best, column, metric));
}

Findings findings(const Table& described, const std::vector<std::string>& metrics, double tolerance) {
  if (described.rows.empty()) return {};
  const Budgets all = budgets_of(described);
  const std::string gain = budget_sentence(described, all, metrics);
  const Table table = all.several ? largest_budget_table(described) : described;  // there the budget needs no naming
  Rows rows;
  for (const TableRow& row : table.rows) rows.push_back(&row);
  std::vector<std::string> sentences;
  for (const std::string& name : metrics) {
    const auto column = column_of(table, name);
    if (column) sentences.push_back(comparison_sentence(table, *column, rows, tolerance));
  }
  sentences.push_back(trade_sentence(table, rows, tolerance));
  Findings result;
  result.text = joined_sentences(sentences);
  if (result.text.empty()) return {};
  if (all.several) result.text = joined_sentences({fmt::format("What follows is at the largest budget, {} NFE.", all.largest_label), result.text, gain});
  result.caveat = joined_sentences({unequal_budget_sentence(table, rows), trust_sentence(rows, tolerance)});
  return result;
}

}  // namespace linden
