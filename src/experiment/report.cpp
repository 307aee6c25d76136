#include "experiment/report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>

#include "core/error.h"
#include "core/files.h"
#include "experiment/numbers.h"
#include "experiment/report_sections.h"
#include "experiment/run_curves.h"

namespace linden {

namespace {

namespace fs = std::filesystem;
using Runs = std::vector<const RunRecord*>;

std::string plural(size_t count, const std::string& word) { return fmt::format("{} {}{}", count, word, count == 1 ? "" : "s"); }

std::map<std::string, Runs> runs_by_command(const RunCollection& collection, const ReportConfig& config) {
  std::map<std::string, Runs> by_command;
  for (const RunRecord& run : collection.runs) by_command[run.command()].push_back(&run);
  std::vector<std::string> counts, names;
  for (const auto& [command, runs] : by_command) {
    names.push_back(command);
    counts.push_back(fmt::format("{} ({})", command, plural(runs.size(), "run")));
  }
  if (!config.command.empty()) {
    check_input(by_command.contains(config.command), "command: no run of \"{}\" was found; there are runs of: {}", config.command, fmt::join(counts, ", "));
    std::erase_if(by_command, [&](const auto& entry) { return entry.first != config.command; });
    return by_command;
  }
  check_input(by_command.size() == 1 || (config.rows.empty() && config.columns.empty()),
              "one table over runs of different commands was asked for: {}. Their numbers do not compare: choose with \"command\", "
              "or leave \"rows\" and \"columns\" empty for a section per command",
              fmt::join(counts, ", "));
  return by_command;
}

// Every asked row key, column and curve exists in some run.
void check_names(const Runs& runs, const ReportConfig& config) {
  std::set<std::string> keys = {"run"}, metrics = {"stopped_at_step"};  // a number of runs that a detector stopped: often there is none
  for (const RunRecord* run : runs) {
    for (const JsonScalar& scalar : run->config()) keys.insert(scalar.path);
    for (const std::string& metric : run->metrics()) {
      metrics.insert(metric.substr(0, metric.find(" [")));
      metrics.insert(metric.substr(0, metric.rfind('.')));  // of a list: "eager_ms" for "eager_ms.8"
    }
  }
  const auto require = [](const std::vector<std::string>& names, const std::set<std::string>& known, const char* where, const char* what) {
    for (const std::string& name : names) {
      if (known.contains(name) || known.contains(name.substr(0, name.find(" [")))) continue;
      const std::string nearest = nearest_name(name, {known.begin(), known.end()});
      throw ConfigError(
          fmt::format("{}: no run has the {} \"{}\"{}", where, what, name, nearest.empty() ? "" : fmt::format("; the nearest one is \"{}\"", nearest)));
    }
  };
  require(config.rows, keys, "rows", "config key");
  require(config.columns, metrics, "columns", "number");
  // The usual curves are left out where runs do not have them; those that were asked for must be there.
  const ReportConfig usual;
  std::set<std::string> drawn = {"wall_seconds"};
  for (const RunRecord* run : runs)
    for (const std::string& name : curve_columns(*run)) drawn.insert(name);
  if (config.curves != usual.curves) require(config.curves, drawn, "curves", "column of curve.csv or metrics.csv");
  if (config.axis != usual.axis) require({config.axis}, drawn, "axis", "column of curve.csv or metrics.csv");
}

// Keys and labels that hold for the whole report: each stands in some run. "reward" stands for "reward.digit" too. The usual
// keys are passed over where runs do not have them.
void check_shared_names(const RunCollection& collection, const ReportConfig& config) {
  std::set<std::string> keys, metrics, labelled = {"run"};
  const auto add_with_parents = [](std::set<std::string>& names, const std::string& path) {
    for (size_t dot = path.find('.'); dot != std::string::npos; dot = path.find('.', dot + 1)) names.insert(path.substr(0, dot));
    names.insert(path);
  };
  for (const RunRecord& run : collection.runs) {
    labelled.insert(run.name());
    for (const JsonScalar& scalar : run.config()) {
      add_with_parents(keys, scalar.path);
      labelled.insert(scalar.text);
    }
    for (const std::string& metric : run.metrics()) {
      metrics.insert(metric);
      add_with_parents(metrics, metric.substr(0, metric.find(" [")));
    }
    for (const std::string& column : curve_columns(run)) labelled.insert(column);
  }
  labelled.insert(keys.begin(), keys.end());
  labelled.insert(metrics.begin(), metrics.end());
  const auto require = [](const std::string& name, const std::set<std::string>& known, const char* where, const char* what) {
    if (known.contains(name)) return;
    const std::string nearest = nearest_name(name, {known.begin(), known.end()});
    throw ConfigError(
        fmt::format("{}: no run has the {} \"{}\"{}", where, what, name, nearest.empty() ? "" : fmt::format("; the nearest one is \"{}\"", nearest)));
  };
  const ReportConfig usual;
  const auto is_usual = [](const std::vector<std::string>& names, const std::string& name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  for (const std::string& key : config.over)
    if (!is_usual(usual.over, key)) require(key, keys, "over", "config key");
  for (const std::string& key : config.task)
    if (!is_usual(usual.task, key)) require(key, keys, "task", "config key");
  for (const std::string& name : config.higher_is_better) require(name, metrics, "higher_is_better", "number");
  for (const std::string& name : config.lower_is_better) require(name, metrics, "lower_is_better", "number");
  for (const std::string& label : config.labels) {
    const size_t equals = label.find('=');
    if (equals == std::string::npos || equals == 0)
      throw ConfigError(fmt::format("labels: \"{}\", wanted NAME=LABEL, for example \"dts=Tree sampling\"", label));
    require(label.substr(0, equals), labelled, "labels", "key, value, number or curve");
  }
}

// The keys of the task as the runs have them ("reward" -> reward.type, reward.digit), less what is averaged over.
std::vector<std::string> task_keys(const Runs& runs, const ReportConfig& config) {
  std::vector<std::string> keys;
  for (const RunRecord* run : runs) {
    for (const JsonScalar& scalar : run->config()) {
      const bool asked = std::any_of(config.task.begin(), config.task.end(),
                                     [&](const std::string& name) { return scalar.path == name || scalar.path.starts_with(name + "."); });
      const bool averaged = std::find(config.over.begin(), config.over.end(), scalar.path) != config.over.end();
      if (asked && !averaged && std::find(keys.begin(), keys.end(), scalar.path) == keys.end()) keys.push_back(scalar.path);
    }
  }
  return keys;
}

// Runs of one task together, tasks in the order of their first run.
std::vector<Runs> runs_by_task(const Runs& runs, const std::vector<std::string>& keys) {
  std::vector<std::pair<std::vector<std::string>, Runs>> tasks;
  for (const RunRecord* run : runs) {
    std::vector<std::string> values;
    for (const std::string& key : keys) values.push_back(run->text(key));
    auto task = std::find_if(tasks.begin(), tasks.end(), [&](const auto& entry) { return entry.first == values; });
    if (task == tasks.end()) task = tasks.insert(tasks.end(), {values, {}});
    task->second.push_back(run);
  }
  std::vector<Runs> grouped;
  for (auto& [values, group] : tasks) grouped.push_back(std::move(group));
  return grouped;
}

void append(std::vector<Block>& blocks, std::vector<Block> more) {
  for (Block& block : more) blocks.push_back(std::move(block));
}

// Published rows that stand beside no run of ours.
void append_unmatched(std::vector<Block>& blocks, const References& references, const std::vector<bool>& used) {
  std::vector<std::string> lines;
  for (size_t r = 0; r < references.rows.size(); ++r) {
    if (used[r]) continue;
    std::vector<std::string> values;
    for (const PublishedValue& value : references.rows[r].values) {
      values.push_back(
          fmt::format("{} {}", metric_info(value.metric).label, format_statistic({value.mean, value.deviation, 1}, metric_info(value.metric).display)));
    }
    lines.push_back(fmt::format("{}: {}", references.rows[r].name, fmt::join(values, "; ")));
  }
  if (lines.empty()) return;
  blocks.push_back(Heading{2, "Published numbers without a run here"});
  blocks.push_back(
      Paragraph{fmt::format("Source: {}.{}{} These numbers are not linden's.", references.source, references.note.empty() ? "" : " ", references.note), true});
  blocks.push_back(BulletList{lines});
}

std::string how_to_read(const Runs& runs) {
  const auto any = [&](std::vector<std::string> methods) {
    return std::any_of(runs.begin(), runs.end(),
                       [&](const RunRecord* run) { return std::find(methods.begin(), methods.end(), run->text("method.type")) != methods.end(); });
  };
  std::string text =
      "NFE counts calls of the prior's network on one sample: the budget in which methods are compared. The log reward is what a run was "
      "steered by; a judge, where there is one, is another classifier that never steers, so a sample that merely fools the reward is not read as asked. ";
  if (any({"dts", "dts_unbiased"})) text += "DTS draws from the tilted distribution p(x) exp(reward), which holds samples of lower reward too. ";
  if (any({"dts_star", "best_of_n"})) text += "DTS* and best-of-N look for high rewards. ";
  return text + "Arrows say which way is better.";
}

void append_problems(std::vector<Block>& blocks, const RunCollection& collection, const std::vector<std::string>& problems) {
  std::vector<std::string> stopped;
  for (const RunRecord& run : collection.runs)
    if (!run.stopped().empty()) stopped.push_back(fmt::format("{}: {}", run.name(), run.stopped()));
  if (!stopped.empty()) {
    blocks.push_back(Heading{2, "Runs that a detector stopped"});
    blocks.push_back(BulletList{stopped});
  }
  if (!collection.broken.empty()) {
    std::vector<std::string> lines;
    for (const BrokenRun& run : collection.broken) lines.push_back(fmt::format("{}: {}", run.name, run.reason));
    blocks.push_back(Heading{2, "Runs that are not in this report"});
    blocks.push_back(BulletList{lines});
  }
  if (!problems.empty()) {
    blocks.push_back(Heading{2, "What could not be shown"});
    blocks.push_back(BulletList{problems});
  }
}

}  // namespace

Document make_report(const RunCollection& collection, const ReportConfig& config) {
  const auto by_command = runs_by_command(collection, config);
  check_shared_names(collection, config);
  References references;
  if (!config.references.empty()) references = read_references(config.references);
  std::vector<bool> used(references.rows.size(), false);
  std::vector<std::string> problems;
  Document document;
  document.title = config.title;
  size_t num_runs = 0, section = 0;
  for (const auto& [command, runs] : by_command) {
    num_runs += runs.size();
    check_names(runs, config);
    const std::vector<std::string> keys = command == "align" ? task_keys(runs, config) : std::vector<std::string>();
    std::vector<std::string> differing;
    for (const std::string& key : keys) {
      if (std::any_of(runs.begin(), runs.end(), [&](const RunRecord* run) { return run->text(key) != runs.front()->text(key); })) differing.push_back(key);
    }
    if (command == "align") document.blocks.push_back(Paragraph{how_to_read(runs), true});
    for (const Runs& task : runs_by_task(runs, keys)) {
      const SectionContext context{&config, &references, &used, &problems, fmt::format("{}-{}", command, ++section)};
      const std::string title = command == "align" ? "Align: " + task_title(task, differing) : fmt::format("Runs of linden {}", command);
      append(document.blocks, command == "align" ? align_section(title, task, context) : plain_section(title, task, context));
    }
  }
  document.subtitle =
      fmt::format("{} from {}{}.", plural(num_runs, "run"), fmt::join(config.runs, ", "),
                  collection.broken.empty() ? ""
                                            : fmt::format("; {} could not be read and {} listed at the end", plural(collection.broken.size(), "run"),
                                                          collection.broken.size() == 1 ? "is" : "are"));
  append_unmatched(document.blocks, references, used);
  append_problems(document.blocks, collection, problems);
  return document;
}

ReportFiles write_report(ReportConfig config) {
  const RunCollection collection = collect_runs({config.runs.begin(), config.runs.end()});
  if (config.output.empty()) config.output = (fs::path(config.runs.front()) / "report").string();
  const Document document = make_report(collection, config);
  const fs::path folder = config.output;
  std::error_code error;
  fs::create_directories(folder, error);
  check_input(!error && fs::is_directory(folder), "{}: cannot make this folder: {}; choose another --output", folder.string(),
              error ? error.message() : "a file of that name is in the way");
  write_pictures(document, folder);
  write_file_atomically(folder / "report.md", document_markdown(document));
  write_file_atomically(folder / "report.csv", tables_csv(document));
  write_file_atomically(folder / "report.tex", tables_latex(document));
  write_file_atomically(folder / "report.json", to_json(config) + "\n");
  write_file_atomically(folder / "report.html", document_html(document));
  return {folder, collection.runs.size(), collection.broken.size()};
}

}  // namespace linden
