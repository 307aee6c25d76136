#include "commands/command_line.h"

#include <c10/util/Exception.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdio>
#include <cxxopts.hpp>
#include <filesystem>
#include <new>

#include "core/environment.h"
#include "core/error.h"

namespace linden {
namespace {

namespace fs = std::filesystem;

struct OptionHelp {
  std::string name, value, help;  // value: what stands for it in the help; empty: the option takes none
};

const std::vector<OptionHelp> kSharedOptions = {
    {"set", "KEY=VALUE", "sets one key of the config, as often as you like: --set nfe=100 --set method.type=dts"},
    {"seed", "N", "seed of every random stream"},
    {"device", "NAME", "auto, cpu, cuda or cuda:N"},
    {"output", "PATH", "where the result goes"},
    {"resume", "", "goes on with the run in the output folder"},
    {"dry-run", "", "stops after the config and the estimate of the work"},
};

bool is_own(const Command& command, const std::string& name) {
  return std::any_of(command.own_options.begin(), command.own_options.end(), [&](const auto& option) { return option.first == name; });
}

bool takes_shared(const Command& command, const std::string& name) {
  if (is_own(command, name)) return false;
  const std::vector<std::string>& chosen = command.shared_options;
  if (chosen.empty()) return static_cast<bool>(command.config);
  return std::find(chosen.begin(), chosen.end(), name) != chosen.end();
}

// What this command takes, its own options first.
std::vector<OptionHelp> options_of(const Command& command) {
  std::vector<OptionHelp> options;
  for (const auto& [name, help] : command.own_options) options.push_back({name, "VALUE", help});
  for (const OptionHelp& shared : kSharedOptions)
    if (takes_shared(command, shared.name)) options.push_back(shared);
  return options;
}

// "; did you mean 'x'?", or nothing.
std::string suggestion(const std::string& name, const std::vector<std::string>& candidates) {
  const std::string nearest = nearest_name(name, candidates);
  return nearest.empty() ? "" : fmt::format("; did you mean '{}'?", nearest);
}

[[noreturn]] void throw_unknown_option(const Command& command, const std::string& word) {
  const std::string name = word.substr(0, word.find('='));
  std::vector<std::string> candidates = {"--help"};
  for (const OptionHelp& option : options_of(command)) candidates.push_back("--" + option.name);
  throw InputError(fmt::format("linden {}: unknown option '{}'{} ('linden {} --help' lists the options{})", command.name, name, suggestion(name, candidates),
                               command.name, command.config ? "; a key of the config is set with --set KEY=VALUE" : ""));
}

// Configs are UTF-8: a name of other bytes would not come back from one.
bool is_utf8(const std::string& text) {
  for (size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const size_t length = lead < 0x80 ? 1 : lead >= 0xc2 && lead < 0xe0 ? 2 : lead >= 0xe0 && lead < 0xf0 ? 3 : lead >= 0xf0 && lead < 0xf5 ? 4 : 0;
    if (length == 0 || i + length > text.size()) return false;
    for (size_t k = 1; k < length; ++k)
      if ((static_cast<unsigned char>(text[i + k]) & 0xc0) != 0x80) return false;
    i += length;
  }
  return true;
}

std::string quoted_json(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    if (static_cast<unsigned char>(c) < 0x20) quoted += fmt::format("\\u{:04x}", static_cast<int>(c));
    else quoted += c;
  }
  return quoted + '"';
}

std::string shell_word(const std::string& word) {
  const bool plain = !word.empty() && word.find_first_not_of(
                                          "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                          "0123456789_-+=./:,@%") == std::string::npos;
  if (plain) return word;
  std::string quoted = "'";
  for (const char c : word) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

cxxopts::ParseResult parse_options(const Command& command, const std::vector<std::string>& arguments) {
  cxxopts::Options parser("linden " + command.name);
  parser.allow_unrecognised_options();
  for (const OptionHelp& option : options_of(command)) {
    if (option.value.empty()) parser.add_options()(option.name, option.help);
    else parser.add_options()(option.name, option.help, cxxopts::value<std::string>());
  }
  parser.add_options()("positional", "", cxxopts::value<std::vector<std::string>>());
  parser.parse_positional("positional");
  std::vector<const char*> words = {"linden"};
  for (const std::string& argument : arguments) words.push_back(argument.c_str());
  try {
    return parser.parse(static_cast<int>(words.size()), words.data());
  } catch (const cxxopts::exceptions::exception& error) {
    throw InputError(fmt::format("linden {}: {} ('linden {} --help' lists the options)", command.name, error.what(), command.name));
  }
}

void take_option(const Command& command, const std::string& name, const std::string& value, CommandLine& line) {
  const bool flag = !is_own(command, name) && (name == "resume" || name == "dry-run");
  check_input(flag || value.rfind("--", 0) != 0, "linden {}: --{} needs a value, but '{}' follows it", command.name, name, value);
  if (is_own(command, name)) line.options.emplace_back(name, value);
  else if (name == "set") line.assignments.push_back(value);
  else if (name == "seed") line.assignments.push_back("seed=" + value);
  else if (name == "resume") line.resume = true;
  else if (name == "dry-run") line.dry_run = true;
  else  // device, output: always text, also where it looks like a number
    line.assignments.push_back(name + "=" + quoted_json(value));
}

std::string nearest_file(const fs::path& file) {
  std::error_code ignored;
  std::vector<std::string> neighbours;
  const fs::path folder = file.has_parent_path() ? file.parent_path() : fs::path(".");
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, ignored))
    if (entry.path().extension() == ".json") neighbours.push_back(entry.path().filename().string());
  std::sort(neighbours.begin(), neighbours.end());
  const std::string nearest = nearest_name(file.filename().string(), neighbours);
  return nearest.empty() ? "" : fmt::format("; did you mean '{}'?", (file.parent_path() / nearest).string());
}

void check_config_file(const Command& command, const CommandLine& line) {
  check_input(!line.positional.empty(), "linden {}: no config file given; wanted: {}, for example: {}", command.name, command.usage, command.example);
  check_input(line.positional.size() == 1, "linden {}: got {} arguments ('{}' is one too many), wanted: {}", command.name, line.positional.size(),
              line.positional.back(), command.usage);
  const fs::path file = line.positional.front();
  check_input(fs::exists(file), "linden {}: there is no config file '{}'{}", command.name, file.string(), nearest_file(file));
  check_input(!fs::is_directory(file), "linden {}: '{}' is a folder, wanted a config file", command.name, file.string());
}

bool asks_for_help(const std::vector<std::string>& arguments) {
  for (const std::string& argument : arguments) {
    if (argument == "--") return false;
    if (argument == "--help" || argument == "-h") return true;
  }
  return false;
}

int run_command(const Command& command, const std::vector<std::string>& arguments) {
  if (asks_for_help(arguments)) {
    fmt::print("{}", command_help(command));
    return kSuccess;
  }
  command.run(parse_command_line(command, arguments));
  return kSuccess;
}

}  // namespace

std::string CommandLine::option(const std::string& name, const std::string& fallback) const {
  for (auto option = options.rbegin(); option != options.rend(); ++option)
    if (option->first == name) return option->second;
  return fallback;
}

const Command& find_command(const std::vector<Command>& commands, const std::string& name) {
  std::vector<std::string> names = {"help"};
  for (const Command& command : commands) {
    if (command.name == name) return command;
    names.push_back(command.name);
  }
  throw InputError(fmt::format("linden: unknown command '{}'{} ('linden help' lists the commands)", name, suggestion(name, names)));
}

CommandLine parse_command_line(const Command& command, const std::vector<std::string>& arguments) {
  CommandLine line;
  line.command = command.name;
  line.text = "linden " + command.name;
  for (const std::string& argument : arguments) {
    check_input(is_utf8(argument), "linden {}: argument {} is no UTF-8 text, which configs and reports are written in; rename the file or folder", command.name,
                shell_word(argument));
    line.text += " " + shell_word(argument);
  }

  const cxxopts::ParseResult result = parse_options(command, arguments);
  for (const std::string& word : result.unmatched()) throw_unknown_option(command, word);
  for (const cxxopts::KeyValue& argument : result.arguments()) {
    if (argument.key() != "positional") take_option(command, argument.key(), argument.value(), line);
    else if (argument.value().size() > 1 && argument.value()[0] == '-' && !fs::exists(argument.value())) throw_unknown_option(command, argument.value());
    else line.positional.push_back(argument.value());
  }
  if (command.config && command.takes_config_file) check_config_file(command, line);
  return line;
}

std::string help_text(const std::vector<Command>& commands) {
  size_t width = 0;
  for (const Command& command : commands) width = std::max(width, command.name.size());
  std::string text =
      "linden: makes the attention of video diffusion transformers linear, and samples diffusion models by tree search\n\n"
      "usage: linden <command> [arguments] [options]\n\ncommands\n";
  for (const Command& command : commands) text += fmt::format("  {:<{}}  {}\n", command.name, width, command.summary);
  text +=
      "\n'linden <command> --help' shows its options and an example; 'linden --version' the version.\n\n"
      "exit codes\n"
      "  0    done\n"
      "  1    something failed while running\n"
      "  2    the input is at fault: an option, a config, a path or a file; the message says what to do\n"
      "  130  stopped by SIGINT or SIGTERM; the step was finished and everything is saved (--resume goes on)\n\n"
      "environment\n"
      "  LINDEN_DATA  the data folder\n";
  return text;
}

std::string command_help(const Command& command) {
  std::string text = fmt::format("linden {}: {}\n\nusage: {}\n\nexample\n  build/{}\n", command.name, command.summary, command.usage, command.example);
  std::vector<OptionHelp> options = options_of(command);
  options.push_back({"help", "", "this text"});
  const auto head = [](const OptionHelp& option) { return "--" + option.name + (option.value.empty() ? "" : " " + option.value); };
  size_t width = 0;
  for (const OptionHelp& option : options) width = std::max(width, head(option).size());
  text += "\noptions\n";
  for (const OptionHelp& option : options) text += fmt::format("  {:<{}}  {}\n", head(option), width, option.help);
  if (takes_shared(command, "seed") && command.config) text += "\n--seed, --device and --output are short for --set seed=N and so on.\n";
  if (command.config)
    text += fmt::format("\nEvery key of the config with its default: 'linden config show {}'; with its meaning: docs/config.md.\n",
                        command.kinds.empty() ? command.name : "\"" + command.name + " " + command.kinds.front().name + "\"");
  return text;
}

const CommandKind& find_kind(const Command& command, const std::string& name) {
  std::vector<std::string> names;
  for (const CommandKind& kind : command.kinds) {
    if (kind.name == name) return kind;
    names.push_back(kind.name);
  }
  const std::string nearest = nearest_name(name, names);
  throw InputError(fmt::format("linden {}: {}; kinds: {}{}", command.name, name.empty() ? "no kind given" : "no kind \"" + name + "\"", fmt::join(names, ", "),
                               nearest.empty() ? "" : fmt::format("; did you mean \"{}\"?", nearest)));
}

Failure describe_failure(const std::exception_ptr& exception) {
  try {
    std::rethrow_exception(exception);
  } catch (const Interrupted& error) { return {kInterrupted, error.what()}; } catch (const InputError& error) {
    return {kInputError, error.what()};
  } catch (const c10::Error& error) { return {kRuntimeError, "LibTorch: " + first_line(error.what_without_backtrace())}; } catch (const std::bad_alloc&) {
    return {kRuntimeError, "out of memory"};
  } catch (const std::exception& error) { return {kRuntimeError, error.what()}; } catch (...) {
    return {kRuntimeError, "something that is no std::exception was thrown"};
  }
}

int run_command_line(const std::vector<Command>& commands, const std::vector<std::string>& arguments) {
  try {
    if (arguments.empty()) {
      fmt::print(stderr, "{}", help_text(commands));
      return kInputError;
    }
    const std::string& first = arguments.front();
    const std::vector<std::string> rest(arguments.begin() + 1, arguments.end());
    if (first == "--version") {
      fmt::print("linden {}\n", current_environment().version);
    } else if (first == "help" && !rest.empty()) {
      fmt::print("{}", command_help(find_command(commands, rest.front())));
    } else if (first == "help" || first == "--help" || first == "-h") {
      fmt::print("{}", help_text(commands));
    } else {
      return run_command(find_command(commands, first), rest);
    }
    return kSuccess;
  } catch (...) {
    const Failure failure = describe_failure(std::current_exception());
    std::fflush(stdout);
    fmt::print(stderr, "{}: {}\n", failure.exit_code == kInterrupted ? "stopped" : "error", failure.message);
    return failure.exit_code;
  }
}

}  // namespace linden
