// What linden throws. Only main() prints a message and turns it into an exit code.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace linden {

// The user can fix it: a config, a path, a file from outside. Exit code 2.
// The message says what, got, wanted, where, and what to do.
class InputError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// An InputError that names a key of a config.
class ConfigError : public InputError {
 public:
  using InputError::InputError;
};

// SIGINT or SIGTERM was asked for and everything is saved. Exit code 130.
class Interrupted : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// The caller broke a function's contract (a shape, a range). Exit code 1.
class CheckError : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

// What a message says before its details: LibTorch's carry a stack trace below.
inline std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

// Throws CheckError with the formatted message unless `condition` holds.
template <class... Args>
void check(bool condition, fmt::format_string<Args...> format, Args&&... args) {
  if (!condition) throw CheckError(fmt::format(format, std::forward<Args>(args)...));
}

// Throws InputError with the formatted message unless `condition` holds.
template <class... Args>
void check_input(bool condition, fmt::format_string<Args...> format, Args&&... args) {
  if (!condition) throw InputError(fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace linden
