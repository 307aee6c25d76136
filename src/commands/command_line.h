// The command line: from words to a CommandLine, and from an exception to a message and an exit code.
#pragma once

#include <exception>
#include <string>
#include <vector>

#include "commands/command.h"

namespace linden {

enum ExitCode : int {
  kSuccess = 0,
  kRuntimeError = 1,   // something failed while running
  kInputError = 2,     // the user's input: a config, a path, a file, an option
  kInterrupted = 130,  // SIGINT or SIGTERM; everything is saved
};

// The command of that name. Throws InputError with the nearest name.
const Command& find_command(const std::vector<Command>& commands, const std::string& name);

// `arguments`: the words after the command's name. A command with a config takes its config file and the shared options
// (--set, --seed, --device, --output, --resume, --dry-run; see Command::shared_options); --set, --seed, --device and
// --output become assignments, in the order in which they were typed. An own option hides a shared one of its name.
// Throws InputError: an unknown option (with the nearest one), an option without its value, no config file or one that
// does not exist (with the nearest file), a word too many.
CommandLine parse_command_line(const Command& command, const std::vector<std::string>& arguments);

std::string help_text(const std::vector<Command>& commands);
std::string command_help(const Command& command);

struct Failure {
  int exit_code = kRuntimeError;
  std::string message;
};
Failure describe_failure(const std::exception_ptr& exception);

// The whole program: help, --version, or one command. Prints, and returns the exit code.
int run_command_line(const std::vector<Command>& commands, const std::vector<std::string>& arguments);

}  // namespace linden
