#include "experiment/sweep_plan.h"

#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "core/error.h"
#include "core/progress.h"

namespace linden {
namespace {

// What the journal says of one cell.
struct History {
  int64_t starts = 0;
  double seconds = 0;  // of the attempts that ended
  bool last_resumed = false, last_failed = false, ended = false;
};

std::map<std::string, History> read_histories(const Journal& journal) {
  std::map<std::string, History> histories;
  for (const JournalEvent& event : journal.read()) {
    History& history = histories[event.cell];
    if (event.event == "start") {
      history.starts = event.attempt;
      history.last_resumed = event.resumed;
      history.last_failed = history.ended = false;
    } else if (event.event == "end" || event.event == "found") {
      history.seconds += event.seconds;
      history.last_failed = event.result == "failed";
      history.ended = event.result == "done";
    }
  }
  return histories;
}

// The cells of this name or pattern. InputError: there is none.
std::vector<size_t> cells_like(const SweepPlan& plan, const std::string& pattern, const char* option) {
  std::vector<std::string> names;
  std::vector<size_t> found;
  for (size_t i = 0; i < plan.cells.size(); ++i) {
    names.push_back(plan.cells[i].name);
    if (names.back() == pattern || fnmatch(pattern.c_str(), names.back().c_str(), 0) == 0) found.push_back(i);
  }
  const std::string nearest = nearest_name(pattern, names);
  check_input(!found.empty(), "--{} {}: no cell has this name{}; --dry-run lists them", option, pattern,
              nearest.empty() ? "" : fmt::format("; did you mean '{}'?", nearest));
  return found;
}

void choose_retries(SweepPlan& plan, const std::string& pattern) {
  plan.to_run = cells_like(plan, pattern, "retry");
  for (const size_t i : plan.to_run) {
    plan.progress[i].stage = CellStage::kLeft;
    plan.end_unknown[i] = false;
  }
}

void add_cells_not_in_grid(SweepPlan& plan) {
  for (const FrozenCell& frozen : plan.frozen.cells) {
    const auto same = [&](const SweepCell& cell) { return cell.name == frozen.name; };
    if (std::any_of(plan.cells.begin(), plan.cells.end(), same)) continue;
    CellProgress progress;
    progress.name = frozen.name;
    progress.values = frozen.values;
    progress.stage = CellStage::kNotInGrid;
    plan.progress.push_back(progress);
  }
}

}  // namespace

SweepPlan plan_sweep(const SweepConfig& config, const SweepTarget& target, const SweepOptions& options, const SweepFolder& folder) {
  SweepPlan plan;
  if (folder.is_frozen()) plan.frozen = folder.manifest();
  SweepCells cells = expand_cells(config, target, folder.base_configs(config, target, plan.frozen));
  folder.require_unchanged(cells.cells, config, target, plan.frozen);
  plan.cells = std::move(cells.cells);
  plan.warnings = std::move(cells.warnings);

  std::map<std::string, History> histories = read_histories(folder.journal());
  const std::vector<std::string> ignored = where_keys(config);
  for (const SweepCell& cell : plan.cells) {
    const History& history = histories[cell.name];
    const bool done = folder.state_of(cell.name, cell.hash, target, ignored) == CellState::kDone;
    CellProgress progress;
    progress.name = cell.name;
    progress.values = cell.values;
    progress.nfe = cell.nfe();
    progress.stage = done ? CellStage::kDone : CellStage::kLeft;
    progress.seconds = done ? std::max(folder.wall_seconds(cell.name), history.seconds) : 0;
    progress.attempts = history.starts;
    plan.progress.push_back(progress);
    plan.attempt_failed_resumed.push_back(history.last_failed && history.last_resumed);
    plan.end_unknown.push_back(done && !history.ended);
  }
  if (!options.retry.empty()) choose_retries(plan, options.retry);
  for (size_t i = 0; options.retry.empty() && i < plan.cells.size(); ++i)
    if (plan.progress[i].stage != CellStage::kDone) plan.to_run.push_back(i);
  if (!options.only.empty()) {
    const std::vector<size_t> chosen = cells_like(plan, options.only, "only");
    std::erase_if(plan.to_run, [&](size_t i) { return std::ranges::find(chosen, i) == chosen.end(); });
  }
  add_cells_not_in_grid(plan);
  return plan;
}

std::string describe_sweep(const SweepConfig& config, const SweepTarget& target, const SweepOptions& options) {
  const SweepFolder folder(options.output);
  if (!options.output.empty()) folder.require_usable(folder.exists());
  const SweepPlan plan = plan_sweep(config, target, options, folder);
  constexpr size_t kMostShown = 50, kShownAtEnds = 5;
  const size_t num_cells = plan.cells.size();
  std::string text;
  for (const std::string& warning : plan.warnings) text += "warning: " + warning + "\n";
  double nfe = 0;
  for (const size_t i : plan.to_run) nfe += plan.progress[i].nfe;
  for (size_t i = 0; i < num_cells; ++i) {
    const bool hidden = num_cells > kMostShown && i >= kShownAtEnds && i + kShownAtEnds < num_cells;
    if (hidden && i == kShownAtEnds) text += fmt::format("... {} more ...\n", num_cells - 2 * kShownAtEnds);
    if (!hidden) text += fmt::format("{}  {}{}\n", plan.cells[i].hash, plan.cells[i].name, plan.progress[i].stage == CellStage::kDone ? "  (done)" : "");
  }
  const auto num_done = std::count_if(plan.progress.begin(), plan.progress.end(), [](const CellProgress& cell) { return cell.stage == CellStage::kDone; });
  text += fmt::format("\ncells           {}\ndone already    {}\nto run          {}, {} at once{}\n", num_cells, num_done, plan.to_run.size(), config.processes,
                      config.gpus > 0 ? fmt::format(", over {} GPU(s)", config.gpus) : "");
  if (plan.progress.size() > num_cells) text += fmt::format("not in the grid {} (kept)\n", plan.progress.size() - num_cells);
  if (std::isfinite(nfe) && nfe > 0) text += fmt::format("NFE to run      {:.0f}\n", nfe);
  const double seconds = estimate_seconds(plan.progress, config.processes);
  if (std::isfinite(seconds) && !plan.to_run.empty())
    text += fmt::format("time            about {} (from the cells that are done)\n", format_duration(seconds));
  return text;
}

}  // namespace linden
