// What main.cpp knows of a subcommand.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/config.h"

namespace linden {

// A parsed command line: `linden <command> [config.json] [--set a.b=c] [--seed N] [--device D]
// [--output DIR] [--resume] [--dry-run]`. --seed, --device and --output have become assignments.
struct CommandLine {
  std::string command;
  std::string text;                     // as typed, for command.json
  std::vector<std::string> positional;  // the config file first, where the command takes one
  std::vector<std::string> assignments;
  bool resume = false;
  bool dry_run = false;
  std::vector<std::pair<std::string, std::string>> options;  // the command's own options, name -> value
  std::string option(const std::string& name, const std::string& fallback = "") const;
};

// A command's second word, where it takes one: "attention" of `linden bench attention config.json`. Each has a config of its own.
struct CommandKind {
  std::string name, summary;
  std::string example;  // "linden bench attention configs/..."
  std::function<std::unique_ptr<ConfigRef>()> config;
};

struct Command {
  std::string name;
  std::string summary;  // one line of `linden help`
  std::string usage;    // "linden align config.json [options]"
  std::string example;  // "linden align configs/..."; shown with build/ before it; runs as it is where what it names is there
  std::vector<std::pair<std::string, std::string>> own_options;  // name -> help; each takes a value
  std::function<void(const CommandLine&)> run;
  // The config type with its defaults, for `linden config show|schema|diff` and the manual; empty if the command takes none.
  std::function<std::unique_ptr<ConfigRef>()> config;
  bool takes_config_file = true;  // the first argument is a config file; asked only where `config` is set
  // Which of set, seed, device, output, resume, dry-run it takes; empty: all where `config` is set, none elsewhere.
  std::vector<std::string> shared_options = {};
  // Where the first argument is a kind: `config` is then set, but that of the kind counts (find_kind).
  std::vector<CommandKind> kinds = {};
};

// Every subcommand, in the order of `linden help`. One function a command, each in its own file.
std::vector<Command> all_commands();

Command align_command();
Command bench_command();
Command config_command();
Command convert_command();
Command doctor_command();
Command evaluate_command();
Command forward_command();
Command report_command();
Command sample_command();
Command sweep_command();
Command train_command();
Command trajectories_command();
Command transfer_command();

// The kind of that name. InputError that lists the kinds and the nearest one.
const CommandKind& find_kind(const Command& command, const std::string& name);

// A ConfigRef that owns its config.
template <class Config>
std::unique_ptr<ConfigRef> owned_config() {
  return std::make_unique<OwnedConfig<Config>>();
}

}  // namespace linden
