#include "experiment/sweep_status.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/progress.h"

namespace linden {
namespace {

const char* name_of(CellStage stage) {
  switch (stage) {
    case CellStage::kLeft: return "left";
    case CellStage::kRunning: return "running";
    case CellStage::kDone: return "done";
    case CellStage::kFailed: return "failed";
    case CellStage::kInterrupted: return "interrupted";
    case CellStage::kNotInGrid: return "not in the grid any more";
  }
  return "";
}

int64_t count(const std::vector<CellProgress>& cells, CellStage stage) {
  return std::count_if(cells.begin(), cells.end(), [&](const CellProgress& cell) { return cell.stage == stage; });
}

std::vector<std::string> names(const std::vector<CellProgress>& cells, CellStage stage) {
  std::vector<std::string> out;
  for (const CellProgress& cell : cells)
    if (cell.stage == stage) out.push_back(cell.name);
  return out;
}

// Seconds of a cell: fixed + per_nfe * nfe.
struct CostModel {
  double fixed = std::numeric_limits<double>::quiet_NaN(), per_nfe = 0;  // NaN: nothing is done yet
  double seconds(const CellProgress& cell) const { return fixed + (per_nfe > 0 ? per_nfe * cell.nfe : 0); }
};

// Least squares over the cells that are done; proportional to NFE where that would make `fixed` negative or the cells that
// are done have one budget; every cell alike where some have no budget.
CostModel fit_cost(const std::vector<CellProgress>& cells) {
  double count = 0, x = 0, y = 0, xx = 0, xy = 0;
  for (const CellProgress& cell : cells) {
    if (cell.stage != CellStage::kDone) continue;
    count += 1, x += cell.nfe, y += cell.seconds, xx += cell.nfe * cell.nfe, xy += cell.nfe * cell.seconds;
  }
  if (count == 0) return {};
  const auto has_budget = [](const CellProgress& cell) { return cell.stage == CellStage::kNotInGrid || (std::isfinite(cell.nfe) && cell.nfe > 0); };
  if (!std::all_of(cells.begin(), cells.end(), has_budget)) return {y / count, 0};
  const double spread = count * xx - x * x;
  const double slope = spread > 1e-9 * xx ? (count * xy - x * y) / spread : y / x;
  const double fixed = (y - slope * x) / count;
  return fixed < 0 || slope < 0 ? CostModel{0, y / x} : CostModel{fixed, slope};
}

std::vector<std::string> axis_keys(const std::vector<CellProgress>& cells) {
  std::vector<std::string> keys;
  for (const CellProgress& cell : cells)
    for (const auto& value : cell.values)
      if (std::find(keys.begin(), keys.end(), value.first) == keys.end()) keys.push_back(value.first);
  return keys;
}

}  // namespace

double estimate_seconds(const std::vector<CellProgress>& cells, int64_t processes) {
  const CostModel cost = fit_cost(cells);
  std::vector<double> busy_until(static_cast<size_t>(processes), 0.0);
  const auto give = [&](double duration) { *std::min_element(busy_until.begin(), busy_until.end()) += std::max(0.0, duration); };
  for (const CellProgress& cell : cells)
    if (cell.stage == CellStage::kRunning) give(cost.seconds(cell) - cell.seconds);
  for (const CellProgress& cell : cells)
    if (cell.stage == CellStage::kLeft) give(cost.seconds(cell));
  return std::isnan(cost.fixed) ? cost.fixed : *std::max_element(busy_until.begin(), busy_until.end());
}

void visit_fields(FieldVisitor& v, SweepStatus& s) {
  visit(v, Field("sweep", "folder"), s.sweep);
  visit(v, Field("state", "running, done, failed, interrupted, incomplete"), s.state);
  visit(v, Field("num_cells", "in the grid"), s.num_cells);
  visit(v, Field("num_done", "finished"), s.num_done);
  visit(v, Field("num_failed", "failed, retries and all"), s.num_failed);
  visit(v, Field("num_running", "at work now"), s.num_running);
  visit(v, Field("num_left", "not begun, or to be gone on with"), s.num_left);
  visit(v, Field("num_not_in_grid", "kept, though no longer in the sweep's file"), s.num_not_in_grid);
  visit(v, Field("running", "names"), s.running);
  visit(v, Field("failed", "names"), s.failed);
  visit(v, Field("elapsed_seconds", "of this sweep process"), s.elapsed_seconds);
  visit(v, Field("eta_seconds", "null: not known yet"), s.eta_seconds);
}

SweepStatus sweep_status(const std::vector<CellProgress>& cells, int64_t processes, double elapsed_seconds) {
  SweepStatus status;
  status.num_not_in_grid = count(cells, CellStage::kNotInGrid);
  status.num_cells = static_cast<int64_t>(cells.size()) - status.num_not_in_grid;
  status.num_done = count(cells, CellStage::kDone);
  status.num_running = count(cells, CellStage::kRunning);
  status.num_failed = count(cells, CellStage::kFailed);
  status.num_left = count(cells, CellStage::kLeft) + count(cells, CellStage::kInterrupted);
  status.running = names(cells, CellStage::kRunning);
  status.failed = names(cells, CellStage::kFailed);
  status.elapsed_seconds = elapsed_seconds;
  status.eta_seconds = estimate_seconds(cells, processes);
  return status;
}

std::string status_line(const SweepStatus& status) {
  std::string text = fmt::format("sweep  {}/{} cells done", status.num_done, status.num_cells);
  if (status.num_running) text += fmt::format(", {} running", status.num_running);
  if (status.num_failed) text += fmt::format(", {} failed", status.num_failed);
  text += "  " + format_duration(status.elapsed_seconds);
  if (status.num_running + status.num_left == 0) return text;
  return text + "  ETA " + (std::isfinite(status.eta_seconds) ? format_duration(status.eta_seconds) : "?");
}

std::string sweep_table(const std::string& title, const SweepStatus& status, const std::vector<CellProgress>& cells) {
  const std::vector<std::string> keys = axis_keys(cells);
  std::string text = fmt::format("# {}\n\n{} cells: {} done, {} failed, {} left.", title, status.num_cells, status.num_done, status.num_failed,
                                 status.num_left + status.num_running);
  if (status.num_not_in_grid) text += fmt::format(" {} more are not in the grid any more.", status.num_not_in_grid);
  text += "\n\n|";
  for (const std::string& key : keys) text += fmt::format(" {} |", key);
  text += " state | seconds | starts |\n|";
  for (size_t i = 0; i < keys.size() + 3; ++i) text += " --- |";
  for (const CellProgress& cell : cells) {
    text += "\n|";
    for (const std::string& key : keys) {
      const auto value = std::find_if(cell.values.begin(), cell.values.end(), [&](const auto& v) { return v.first == key; });
      text += fmt::format(" {} |", value == cell.values.end() ? "" : value->second);
    }
    text += fmt::format(" {}{} | {} | {} |", name_of(cell.stage), cell.detail.empty() ? "" : ": " + cell.detail,
                        cell.stage == CellStage::kDone ? fmt::format("{:.1f}", cell.seconds) : "", cell.attempts);
  }
  return text + "\n";
}

}  // namespace linden
