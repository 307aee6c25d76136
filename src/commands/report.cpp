// linden report: a set of run folders as one report, or one transfer in detail.
#include <fmt/format.h>

#include "commands/command.h"
#include "core/error.h"
#include "experiment/report.h"
#include "experiment/transfer_report.h"

namespace linden {

namespace {

void run_report(const CommandLine& line) {
  ReportConfig config;
  for (const std::string& note : read_config({line.option("config"), line.assignments, false}, config)) fmt::print(stderr, "{}\n", note);
  if (!line.positional.empty()) config.runs = line.positional;
  if (config.runs.size() == 1 && line.option("config").empty() && is_transfer_run(config.runs[0])) {
    if (line.dry_run) fmt::print("{}\n1 transfer would be reported: {}\n", to_json(config), config.runs[0]);
    else fmt::print("1 transfer reported: {}\n", write_transfer_report(config.runs[0], config.output).string());
    return;
  }
  if (line.dry_run) {
    const RunCollection collection = collect_runs({config.runs.begin(), config.runs.end()});
    fmt::print("{}\n{} run(s) would be reported, {} cannot be\n", to_json(config), collection.runs.size(), collection.broken.size());
    return;
  }
  const ReportFiles files = write_report(config);
  fmt::print("{} run(s) reported{}: {}\n", files.num_runs, files.num_broken ? fmt::format(", {} listed as broken", files.num_broken) : "",
             (files.folder / "report.html").string());
}

}  // namespace

Command report_command() {
  Command command;
  command.name = "report";
  command.summary = "turns run folders into tables, figures and one HTML file; one transfer alone is reported in detail";
  command.usage = "linden report DIR [DIR ...] --output DIR2 [--config report.json] [options]";
  command.example = "linden report runs/quickstart --output runs/quickstart/report";
  command.own_options = {{"config", "JSON file of the report: rows, columns, curves, published numbers"}};
  command.shared_options = {"set", "output", "dry-run"};
  command.run = run_report;
  command.config = [] { return owned_config<ReportConfig>(); };
  command.takes_config_file = false;
  return command;
}

}  // namespace linden
