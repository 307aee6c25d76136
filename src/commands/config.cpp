// linden config show | schema | diff | manual: what a config says, may say, and how two differ.
#include "core/config.h"

#include <fmt/format.h>

#include "commands/command.h"
#include "commands/command_line.h"
#include "core/error.h"

namespace linden {
namespace {

constexpr const char* kUsage =
    "linden config show <command> [file.json] [--set KEY=VALUE] | schema <command> | diff <command> a.json b.json | "
    "manual";

// A command, or a kind of one, that takes a config.
struct Configured {
  std::string name;  // "align", "bench attention"
  std::function<std::unique_ptr<ConfigRef>()> config;
};

// The config of `command`, filled from its defaults, `file` (may be empty) and the assignments.
std::unique_ptr<ConfigRef> load_config(const Configured& command, const std::string& file, const std::vector<std::string>& assignments) {
  std::unique_ptr<ConfigRef> config = command.config();
  for (const std::string& note : read_config({file, assignments}, *config)) fmt::print(stderr, "{}\n", note);
  return config;
}

// Of "align", or of a command with its kind as one word: "bench attention".
Configured command_with_config(const std::vector<Command>& commands, const std::string& name) {
  const size_t space = name.find(' ');
  const Command& command = find_command(commands, name.substr(0, space));
  std::string others;
  for (const Command& other : commands)
    if (other.config) others += " " + other.name;
  check_input(static_cast<bool>(command.config), "linden config: {} takes no config; these do:{}", name, others);
  if (command.kinds.empty()) return {name, command.config};
  return {name, find_kind(command, space == std::string::npos ? "" : name.substr(space + 1)).config};
}

void show_difference(const Configured& command, const std::string& left_file, const std::string& right_file) {
  const auto left = load_config(command, left_file, {}), right = load_config(command, right_file, {});
  const std::vector<ConfigDifference> differences = config_difference(*left, *right);
  for (const ConfigDifference& d : differences) fmt::print("{}: {} -> {}\n", d.key, d.left, d.right);
  if (differences.empty()) fmt::print("no difference\n");
}

void show_manual(const std::vector<Command>& commands) {
  fmt::print(
      "# Every key of every config\n\n"
      "Written by `scripts/make_docs` from the program itself; do not edit.\n\n"
      "A key's value comes from its default, then the file named by `base`, then the file, then `--set KEY=VALUE`. In "
      "a key,\n"
      "`method[dts].` stands for `method.` where `method.type` is `dts`. Keys marked \"may change\" may differ when a "
      "run is\n"
      "resumed. An unknown key is an error. Comments (`//`, `/* */`) are allowed.\n");
  for (const Command& command : commands) {
    if (!command.config) continue;
    const auto section = [](const std::string& name, const auto& part) {
      fmt::print("\n## linden {}\n\n{}\n\n    build/{}\n\n{}", name, part.summary, part.example, config_manual(*part.config()));
    };
    if (command.kinds.empty()) section(command.name, command);
    for (const CommandKind& kind : command.kinds) section(command.name + " " + kind.name, kind);
  }
}

void run_config(const CommandLine& line) {
  const std::vector<Command> commands = all_commands();
  const std::vector<std::string>& words = line.positional;

  const std::string verb = words.empty() ? "" : words.front();
  if (verb == "show" && (words.size() == 2 || words.size() == 3)) {
    const auto config = load_config(command_with_config(commands, words[1]), words.size() == 3 ? words[2] : "", line.assignments);
    fmt::print("{}\n", config_to_json(*config));
  } else if (verb == "schema" && words.size() == 2) {
    const Configured command = command_with_config(commands, words[1]);
    fmt::print("{}\n", config_schema(*command.config(), "linden " + command.name));
  } else if (verb == "diff" && words.size() == 4) {
    show_difference(command_with_config(commands, words[1]), words[2], words[3]);
  } else if (verb == "manual" && words.size() == 1) {
    show_manual(commands);
  } else {
    throw InputError(fmt::format("linden config: got '{}', wanted: {}", line.text, kUsage));
  }
}

}  // namespace

Command config_command() {
  Command command;
  command.name = "config";
  command.summary = "shows a resolved config, a JSON Schema, how two configs differ, or the manual of every key";
  command.usage = kUsage;
  command.example = "linden config show align configs/align/gmm_dts.json --set nfe=1000";
  command.shared_options = {"set"};
  command.run = run_config;
  return command;
}

}  // namespace linden
