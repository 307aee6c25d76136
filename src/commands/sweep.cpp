// linden sweep: one command over every combination of some config keys.
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "commands/command.h"
#include "commands/command_line.h"
#include "core/error.h"
#include "experiment/sweep_run.h"

namespace linden {
namespace {

bool takes_resume(const Command& command) {
  const std::vector<std::string>& shared = command.shared_options;
  return shared.empty() || std::find(shared.begin(), shared.end(), "resume") != shared.end();
}

// The command that a sweep names: "align", or with its kind "bench sampler".
SweepTarget find_target(const SweepConfig& config) {
  const std::vector<Command> commands = all_commands();
  const std::string word = config.command.substr(0, config.command.find(' '));
  std::vector<std::string> names;
  for (const Command& command : commands)
    if (command.config && command.name != "report") names.push_back(command.name);
  const auto found = std::find_if(commands.begin(), commands.end(), [&](const Command& command) { return command.name == word; });
  const std::string nearest = nearest_name(word, names), file = config.file.string();
  check_input(found != commands.end(), "{}: command is \"{}\", which linden does not have{}", file, config.command,
              nearest.empty() ? "; 'linden help' lists the commands" : "; did you mean \"" + nearest + "\"?");
  check_input(std::find(names.begin(), names.end(), word) != names.end(), "{}: command is \"{}\", which does not run a config file; these do: {}", file, word,
              fmt::join(names, ", "));
  // The usage says whether a kind stands before the config file: "linden bench sampler config.json".
  const std::string usage = "linden " + config.command + " config.json";
  check_input(found->usage.find(usage) != std::string::npos, "{}: command is \"{}\", but it is used as: {}", file, config.command, found->usage);
  return {config.command, found->kinds.empty() ? found->config : find_kind(*found, config.command.substr(word.size() + 1)).config, takes_resume(*found)};
}

void read_number(const CommandLine& line, const std::string& name, int64_t& out) {
  const std::string text = line.option(name);
  if (text.empty()) return;
  char* end = nullptr;
  out = std::strtol(text.c_str(), &end, 10);
  check_input(!*end && out >= 1 && out <= 1024, "linden sweep: --{} is {}, wanted a number from 1 to 1024", name, text);
}

void run(const CommandLine& line) {
  check_input(line.positional.size() == 1,
              "linden sweep: wanted one sweep file, got {} words; for example: linden sweep configs/sweep/gmm_methods.json --output runs/gmm_methods",
              line.positional.size());
  const std::filesystem::path file = line.positional.front();
  check_input(std::filesystem::exists(file), "linden sweep: there is no sweep file '{}'", file.string());
  SweepConfig config = read_sweep_config(file);
  add_assignments(config, line.assignments);
  SweepOptions options{line.option("output"), line.resume || !line.option("retry").empty(), line.option("retry"), line.option("only")};
  read_number(line, "processes", config.processes);
  read_number(line, "gpus", config.gpus);
  const SweepTarget target = find_target(config);
  if (line.dry_run) {
    std::printf("%s", describe_sweep(config, target, options).c_str());
    return;
  }
  check_input(!options.output.empty(), "linden sweep: no --output; name the folder of the sweep, for example --output runs/{}", file.stem().string());
  run_sweep(config, target, options);
}

}  // namespace

Command sweep_command() {
  return {.name = "sweep",
          .summary = "run a command over every combination of some config keys, each exactly once",
          .usage = "linden sweep sweep.json --output DIR [options]",
          .example = "linden sweep configs/sweep/gmm_methods.json --output runs/gmm_methods",
          .own_options = {{"output", "folder of the sweep; its cells go to DIR/cells"},
                          {"processes", "cells at once, over the file's \"processes\""},
                          {"gpus", "spread the cells over the first so many GPUs, over the file's \"gpus\""},
                          {"only", "runs only the cells of this name or pattern ('seed=1*'), and leaves the others for later"},
                          {"retry", "runs the cells of this name or pattern ('seed=1*') again, also if they are done"}},
          .run = run,
          .config = {},
          .takes_config_file = false,
          .shared_options = {"set", "device", "resume", "dry-run"}};
}

}  // namespace linden
