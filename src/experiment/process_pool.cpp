#include "experiment/process_pool.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>
#include <sstream>
#include <stdexcept>

#include "core/error.h"

namespace linden {
namespace {

constexpr const char* kThisProgram = "/proc/self/exe";
constexpr int kExecFailed = 127;

class Descriptor {
 public:
  Descriptor(const char* file, int flags) : number_(open(file, flags | O_CLOEXEC, 0644)) {
    if (number_ < 0) throw std::runtime_error(fmt::format("{}: cannot be opened: {}", file, std::strerror(errno)));
  }
  ~Descriptor() { close(number_); }
  Descriptor(const Descriptor&) = delete;
  int number() const { return number_; }

 private:
  int number_;
};

// NAME=VALUE lines: the inherited ones, then those of `changes`, which win.
std::vector<std::string> environment_with(const std::vector<std::pair<std::string, std::string>>& changes) {
  std::vector<std::string> lines;
  for (char** entry = environ; *entry; ++entry) {
    const std::string line = *entry;
    const bool changed = std::any_of(changes.begin(), changes.end(), [&](const auto& change) { return line.starts_with(change.first + "="); });
    if (!changed) lines.push_back(line);
  }
  for (const auto& [name, value] : changes) lines.push_back(name + "=" + value);
  return lines;
}

std::vector<char*> pointers_to(std::vector<std::string>& words) {
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  return pointers;
}

// In the child, between fork and exec: system calls only.
[[noreturn]] void become(pid_t parent, int log, int nothing, char* const* arguments, char* const* environment, const sigset_t* mask) {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(kExecFailed);  // the parent died before the line above
  dup2(nothing, STDIN_FILENO);
  dup2(log, STDOUT_FILENO);
  dup2(log, STDERR_FILENO);
  signal(SIGINT, SIG_DFL);  // until main has its handler: also where the parent ignores them
  signal(SIGTERM, SIG_DFL);
  sigprocmask(SIG_SETMASK, mask, nullptr);
  execve(kThisProgram, arguments, environment);
  constexpr char kMessage[] = "this program could not be started again\n";
  const ssize_t ignored = write(STDERR_FILENO, kMessage, sizeof kMessage - 1);
  _exit(ignored < 0 ? kExecFailed + 1 : kExecFailed);
}

}  // namespace

std::string EndedProcess::describe() const {
  if (signal == 0) return fmt::format("exit code {}", exit_code);
  return fmt::format("killed by signal {} ({}{})", signal, strsignal(signal), signal == SIGKILL ? "; out of memory?" : "");
}

std::vector<std::string> gpu_names(const char* visible, int64_t count) {
  std::vector<std::string> names;
  if (!visible) {
    for (int64_t i = 0; i < count; ++i) names.push_back(std::to_string(i));
    return names;
  }
  std::istringstream in(visible);
  for (std::string name; std::getline(in, name, ',') && std::ssize(names) < count;) names.push_back(name);
  check_input(std::ssize(names) == count, "the sweep is to be spread over {} GPUs, but CUDA_VISIBLE_DEVICES is \"{}\"; lower --gpus or change that", count,
              visible);
  return names;
}

ProcessPool::ProcessPool() {
  signal(SIGCHLD, SIG_DFL);  // ignored, children would vanish before they are waited for
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  sigprocmask(SIG_BLOCK, &child, &old_mask_);  // wait() takes it by sigtimedwait
}

ProcessPool::~ProcessPool() {
  for (const pid_t pid : running_) kill(-pid, SIGKILL);
  for (const pid_t pid : running_)
    while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) continue;
  sigprocmask(SIG_SETMASK, &old_mask_, nullptr);
}

pid_t ProcessPool::start(const ProcessRequest& request) {
  std::vector<std::string> words = {"linden"};
  words.insert(words.end(), request.arguments.begin(), request.arguments.end());
  std::vector<std::string> lines = environment_with(request.environment);
  const std::vector<char*> arguments = pointers_to(words), environment = pointers_to(lines);
  const Descriptor log(request.log.c_str(), O_WRONLY | O_CREAT | O_APPEND), nothing("/dev/null", O_RDONLY);
  const pid_t parent = getpid(), pid = fork();
  if (pid < 0) throw std::runtime_error(fmt::format("cannot start another process: {}", std::strerror(errno)));
  if (pid == 0) become(parent, log.number(), nothing.number(), arguments.data(), environment.data(), &old_mask_);
  setpgid(pid, pid);  // here too: a signal may be sent before the child has come to its own call
  running_.push_back(pid);
  return pid;
}

std::vector<EndedProcess> ProcessPool::wait(double seconds) {
  std::vector<EndedProcess> ended;
  const auto collect = [&] {
    std::erase_if(running_, [&](pid_t pid) {
      int status = 0;
      if (waitpid(pid, &status, WNOHANG) != pid) return false;
      ended.push_back({pid, WIFEXITED(status) ? WEXITSTATUS(status) : 0, WIFSIGNALED(status) ? WTERMSIG(status) : 0});
      return true;
    });
  };
  collect();
  if (!ended.empty() || running_.empty()) return ended;
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  const timespec limit = {static_cast<time_t>(seconds), static_cast<long>((seconds - static_cast<double>(static_cast<time_t>(seconds))) * 1e9)};
  sigtimedwait(&child, nullptr, &limit);  // a signal, the limit or an interrupt: look in any case
  collect();
  return ended;
}

void ProcessPool::signal_all(int signal) {
  for (const pid_t pid : running_) kill(-pid, signal);
}

}  // namespace linden
