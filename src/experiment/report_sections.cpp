#include "experiment/report_sections.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <set>

#include "core/error.h"
#include "core/files.h"
#include "experiment/findings.h"
#include "experiment/run_curves.h"

namespace linden {

namespace {

namespace fs = std::filesystem;
using Rows = std::vector<const TableRow*>;

Rows rows_of(const Table& table) {
  Rows rows;
  for (const TableRow& row : table.rows) rows.push_back(&row);
  return rows;
}

// "DTS*, 1000" -> "dts-1000": letters, digits and dashes.
std::string file_stem(const std::string& text) {
  std::string stem;
  for (const char c : text) {
    if (std::isalnum(static_cast<unsigned char>(c))) stem += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    else if (c == '*') stem += "-star";
    else if (!stem.empty() && stem.back() != '-') stem += '-';
  }
  while (!stem.empty() && stem.back() == '-') stem.pop_back();
  return stem;
}

// Runs `action`; a failure to read is written down and the report goes on.
template <class Action>
void or_note(const SectionContext& context, const RunRecord& run, Action&& action) {
  try {
    action();
  } catch (const InputError& error) {
    const std::string problem = fmt::format("{}: {}", run.name(), error.what());
    if (std::find(context.problems->begin(), context.problems->end(), problem) == context.problems->end()) context.problems->push_back(problem);
  }
}

// Of rows that differ in the budget alone, the one with the largest.
Rows largest_budgets(const Table& table) {
  Rows rows;
  const auto key = std::find(table.key_columns.begin(), table.key_columns.end(), "nfe");
  if (key == table.key_columns.end()) return rows_of(table);
  const auto position = static_cast<size_t>(key - table.key_columns.begin());
  const auto budget = [](const TableRow& row) { return std::strtod(row.runs.front()->text("nfe").c_str(), nullptr); };
  for (const TableRow& row : table.rows) {
    const auto same = std::find_if(rows.begin(), rows.end(), [&](const TableRow* other) {
      for (size_t k = 0; k < row.keys.size(); ++k) {
        if (k != position && row.keys[k] != other->keys[k]) return false;
      }
      return true;
    });
    if (same == rows.end()) rows.push_back(&row);
    else if (budget(row) > budget(**same)) *same = &row;
  }
  return rows;
}

Figure sample_figure(const Table& table, const SectionContext& context) {
  Figure figure;
  bool several = false, points = false;
  for (const TableRow* row : largest_budgets(table)) {
    const RunRecord& run = *row->runs.front();
    several = several || row->runs.size() > 1;
    or_note(context, run, [&] {
      Picture picture;
      if (!sample_picture(run, context.config->pictures, row->label(), picture)) return;
      points = points || picture.kind == Picture::Kind::kSvg;
      picture.stem = fmt::format("{}-samples-{}", context.stem, figure.pictures.size());
      figure.pictures.push_back(std::move(picture));
    });
  }
  figure.caption = points ? "Samples." : fmt::format("The first samples of each row, up to {}.", context.config->pictures);
  if (several) figure.caption += " Of rows with several runs, the first run is shown.";
  return figure;
}

Figure curve_figure(const Table& table, const SectionContext& context) {
  Figure figure;
  for (const std::string& quantity : context.config->curves) {
    Rows rows;
    for (const TableRow* row : largest_budgets(table)) {
      or_note(context, *row->runs.front(), [&] {
        for (const RunRecord* run : row->runs) run_curve(*run, quantity, context.config->axis);  // a damaged file ends here
        rows.push_back(row);
      });
    }
    CurveFigure curves = row_curves(rows, quantity, context.config->axis, relabelled(context.config->labels, quantity, metric_info(quantity).label));
    const bool any = std::any_of(curves.curves.begin(), curves.curves.end(), [](const Curve& curve) { return !curve.x.empty(); });
    if (!any) continue;
    const double exact = rows.front()->runs.front()->number("exact_root_value");
    if (quantity == "root_value" && std::isfinite(exact)) curves.horizontal_lines.emplace_back("exact", exact);
    figure.pictures.push_back({Picture::Kind::kSvg, fmt::format("{}-curve-{}", context.stem, file_stem(quantity)), "", curves_svg(curves)});
  }
  const bool banded = std::any_of(table.rows.begin(), table.rows.end(), [](const TableRow& row) { return row.runs.size() > 1; });
  figure.caption = fmt::format("What is known while a run goes on.{}", banded ? " Lines: mean over runs; bands: one standard deviation." : "");
  return figure;
}

// Final numbers against the budget, where rows differ in it.
Figure budget_figure(const Table& table, const SectionContext& context) {
  Figure figure;
  const std::string axis = context.config->axis == "wall_seconds" ? "wall_seconds" : "nfe";
  for (size_t column = 0; column < table.columns.size(); ++column) {
    if (table.columns[column].better == Better::kNeither) continue;
    const CurveFigure curves = metric_against(table, column, "nfe", axis);
    if (curves.curves.empty()) continue;
    figure.pictures.push_back({Picture::Kind::kSvg, fmt::format("{}-budget-{}", context.stem, file_stem(table.columns[column].key)), "", curves_svg(curves)});
  }
  figure.caption = "Final numbers of runs with different budgets.";
  return figure;
}

Figure tree_figure(const Table& table, const SectionContext& context) {
  Figure figure;
  const TableRow* chosen = nullptr;
  for (const TableRow* row : largest_budgets(table)) {
    const RunRecord& run = *row->runs.front();
    if (!fs::exists(run.folder() / "tree.svg")) continue;
    if (!chosen || (run.text("method.type") == "dts" && chosen->runs.front()->text("method.type") != "dts")) chosen = row;
  }
  if (!chosen) return figure;
  const RunRecord& run = *chosen->runs.front();
  or_note(context, run, [&] {
    Picture picture{Picture::Kind::kSvg, context.stem + "-tree", "", read_text_file(run.folder() / "tree.svg")};
    picture.foreign = true;
    figure.pictures.push_back(std::move(picture));
  });
  figure.caption = fmt::format("The search tree of {} ({}).", chosen->label(), run.name());
  return figure;
}

void append_figure(std::vector<Block>& blocks, Figure figure, const std::string& heading) {
  if (figure.pictures.empty()) return;
  blocks.push_back(Heading{3, heading});
  blocks.push_back(std::move(figure));
}

std::string in_words(std::string name) {
  std::replace(name.begin(), name.end(), '_', ' ');
  return name;
}

// What the runs of a section ask for; where single digits are averaged over, how many.
std::string digits_title(const std::vector<const RunRecord*>& runs) {
  const std::string digit = runs.front()->text("reward.digit"), digits = runs.front()->text("reward.digits");
  std::set<std::string> asked;
  for (const RunRecord* run : runs) asked.insert(run->text("reward.digit"));
  if (asked.size() > 1) return fmt::format("single digits, {} of them", asked.size());
  if (!digit.empty() && digit.front() != '-') return "digit " + digit;
  if (digits == "0,2,4,6,8") return "even digits";
  if (digits == "1,3,5,7,9") return "odd digits";
  return digits.empty() ? "" : "digits " + digits;
}

}  // namespace

std::string task_title(const std::vector<const RunRecord*>& runs, const std::vector<std::string>& differing) {
  const RunRecord& run = *runs.front();
  std::vector<std::string> parts;
  const std::string digits = digits_title(runs);
  if (!digits.empty()) parts.push_back(digits);
  else if (run.has("reward.type")) parts.push_back(in_words(run.text("reward.type")) + " reward");
  for (const std::string& key : differing) {
    const bool said = key == "reward.digit" || key == "reward.digits" || key == "reward.type";
    if (!said && run.has(key)) parts.push_back(fmt::format("{} {}", key, run.text(key)));
  }
  return parts.empty() ? "all runs" : fmt::format("{}", fmt::join(parts, ", "));
}

std::vector<Block> align_section(const std::string& title, const std::vector<const RunRecord*>& runs, const SectionContext& context) {
  const ReportConfig& config = *context.config;
  Table table = make_table(runs, table_request(config), *context.references, context.used_references);
  table.caption = title;
  std::vector<Block> blocks = {Heading{2, title}};
  const std::vector<std::string> told = {"mean_reward", "best_reward", "judged_share", "diversity", "frechet_distance", "mmd"};
  const Findings found = findings(table, told, config.tolerance);
  if (!found.text.empty()) {
    blocks.push_back(Paragraph{found.text});
    blocks.push_back(Paragraph{found.caveat, true});
  }
  if (config.pictures > 0) append_figure(blocks, sample_figure(table, context), "Samples");
  Figure curves = curve_figure(table, context), budgets = budget_figure(table, context), tree = tree_figure(table, context);
  blocks.push_back(Heading{3, "Numbers"});
  blocks.push_back(std::move(table));
  append_figure(blocks, std::move(curves), config.axis == "nfe" ? "Reward while function evaluations are spent" : "Reward over time");
  append_figure(blocks, std::move(budgets), "Against the budget");
  append_figure(blocks, std::move(tree), "Tree");
  return blocks;
}

std::vector<Block> plain_section(const std::string& title, const std::vector<const RunRecord*>& runs, const SectionContext& context) {
  Table table = make_table(runs, table_request(*context.config), *context.references, context.used_references);
  table.caption = title;
  std::vector<Block> blocks = {Heading{2, title}};
  const Rows rows = rows_of(table);
  Figure curves, pictures;
  const bool chosen = context.config->curves != ReportConfig().curves;  // the usual ones are of `linden align`
  const std::vector<std::string> quantities = chosen ? context.config->curves : std::vector<std::string>{"loss", "train_loss", "test_loss", "test_accuracy"};
  for (const std::string& quantity : quantities) {
    Rows readable;
    for (const TableRow* row : rows) {
      or_note(context, *row->runs.front(), [&] {
        for (const RunRecord* run : row->runs) run_curve(*run, quantity, "step");
        readable.push_back(row);
      });
    }
    const CurveFigure figure = row_curves(readable, quantity, "step", quantity);
    if (std::all_of(figure.curves.begin(), figure.curves.end(), [](const Curve& curve) { return curve.x.empty(); })) continue;
    curves.pictures.push_back({Picture::Kind::kSvg, fmt::format("{}-{}", context.stem, file_stem(quantity)), "", curves_svg(figure)});
  }
  curves.caption = "From the runs' metrics.csv.";
  for (const TableRow* row : context.config->pictures > 0 ? rows : Rows()) {
    or_note(context, *row->runs.front(), [&] {
      Picture picture;
      if (!sample_picture(*row->runs.front(), context.config->pictures, row->label(), picture)) return;
      picture.stem = fmt::format("{}-samples-{}", context.stem, pictures.pictures.size());
      pictures.pictures.push_back(std::move(picture));
    });
  }
  pictures.caption = "Samples of each row's first run.";
  blocks.push_back(std::move(table));
  append_figure(blocks, std::move(curves), "Curves");
  append_figure(blocks, std::move(pictures), "Samples");
  return blocks;
}

}  // namespace linden
