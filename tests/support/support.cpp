#include "tests/support/support.h"

#include <stdlib.h>
#include <sys/wait.h>

#include <cstdio>
#include <stdexcept>

namespace linden::test {

TemporaryFolder::TemporaryFolder() {
  std::string name = (std::filesystem::temp_directory_path() / "linden_test_").string() + std::string(6, 'X');  // mkdtemp's pattern
  if (!mkdtemp(name.data())) throw std::runtime_error("mkdtemp failed for " + name);
  path = name;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path, ignored);
}

CommandResult run_shell(const std::string& command) {
  CommandResult result;
  FILE* pipe = popen((command + " 2>&1").c_str(), "r");
  if (!pipe) throw std::runtime_error("popen failed: " + command);
  char buffer[4096];
  while (size_t count = fread(buffer, 1, sizeof buffer, pipe)) result.output.append(buffer, count);
  const int status = pclose(pipe);
  result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result;
}

CommandResult run_linden(const std::string& arguments) { return run_shell(std::string(LINDEN_BINARY) + " " + arguments); }

std::filesystem::path data_folder() {
  const char* value = std::getenv("LINDEN_DATA");
  std::filesystem::path folder = value && *value ? value : "../shared/data";
  return std::filesystem::exists(folder / "mnist") ? folder : std::filesystem::path();
}

}  // namespace linden::test
