#include "tests/support/support.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <thread>

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

namespace {

int exit_code_of(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status); }

}  // namespace

CommandResult run_shell(const std::string& command) {
  CommandResult result;
  FILE* pipe = popen((command + " 2>&1").c_str(), "r");
  if (!pipe) throw std::runtime_error("popen failed: " + command);
  char buffer[4096];
  while (size_t count = fread(buffer, 1, sizeof buffer, pipe)) result.output.append(buffer, count);
  const int status = pclose(pipe);
  result.exit_code = exit_code_of(status);
  return result;
}

CommandResult run_linden(const std::string& arguments) {
  const char* elsewhere = std::getenv("LINDEN_BINARY");  // where the program was not built where it runs
  return run_shell(std::string(elsewhere ? elsewhere : LINDEN_BINARY) + " " + arguments);
}

CommandResult interrupt_linden(const std::string& arguments, const std::filesystem::path& path, int signal) {
  const TemporaryFolder folder;
  const std::string log = (folder / "output").string(), command = "exec " LINDEN_BINARY " " + arguments + " > " + log + " 2>&1";
  const pid_t child = fork();
  if (child < 0) throw std::runtime_error("fork failed");
  if (child == 0) {
    execl("/bin/sh", "sh", "-c", command.c_str(), static_cast<char*>(nullptr));
    _exit(127);
  }
  int status = 0;
  bool ended = false;
  for (int i = 0; i < 60000 && !std::filesystem::exists(path); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    if ((ended = waitpid(child, &status, WNOHANG) == child)) break;
  }
  if (!ended) {
    kill(child, signal);
    waitpid(child, &status, 0);
  }
  std::ifstream file(log);
  return {exit_code_of(status), {std::istreambuf_iterator<char>(file), {}}};
}

std::filesystem::path data_folder() {
  const char* value = std::getenv("LINDEN_DATA");
  std::filesystem::path folder = value && *value ? value : "../shared/data";
  return std::filesystem::exists(folder / "mnist") ? folder : std::filesystem::path();
}

}  // namespace linden::test
