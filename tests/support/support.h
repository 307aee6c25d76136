// What tests share: temporary folders, running the binary, fixtures.
#pragma once

#include <filesystem>
#include <string>

namespace linden::test {

// A fresh folder that is removed with the object.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  std::filesystem::path path;
  std::filesystem::path operator/(const std::string& name) const { return path / name; }
};

struct CommandResult {
  int exit_code = 0;
  std::string output;  // stdout and stderr together
};
// Runs a shell command line.
CommandResult run_shell(const std::string& command);
// Runs the built binary: run_linden("align configs/align/gmm_dts.json --set nfe=100").
CommandResult run_linden(const std::string& arguments);
// The same, and as soon as `path` exists, however long that takes (five minutes at most), the process gets `signal`.
CommandResult interrupt_linden(const std::string& arguments, const std::filesystem::path& path, int signal);

// The data folder (LINDEN_DATA), or an empty path where there is none.
std::filesystem::path data_folder();

// The message of the exception that `action` throws; "" if it throws nothing.
template <class Action>
std::string message_of(Action&& action) {
  try {
    action();
  } catch (const std::exception& error) { return error.what(); }
  return "";
}

}  // namespace linden::test
