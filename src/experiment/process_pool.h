// Child processes of this program: started, waited for, signalled, and never left behind.
#pragma once

#include <sys/types.h>

#include <csignal>
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace linden {

struct ProcessRequest {
  std::vector<std::string> arguments;                            // after the program's own name
  std::vector<std::pair<std::string, std::string>> environment;  // set over the inherited one
  std::filesystem::path log;                                     // stdout and stderr are added to it
};

struct EndedProcess {
  pid_t pid = 0;
  int exit_code = 0;             // of one that returned
  int signal = 0;                // that ended it, else 0
  std::string describe() const;  // "exit code 2", "killed by signal 9 (Killed)"
};

// The names of the first `count` GPUs that a process whose CUDA_VISIBLE_DEVICES is `visible` (null: not set) may use, as that
// variable takes them. InputError: there are fewer in it.
std::vector<std::string> gpu_names(const char* visible, int64_t count);

// Each child is in a process group of its own, so a Ctrl-C on the terminal reaches this process alone. If this process
// dies in any way, the kernel kills the children (PR_SET_PDEATHSIG): use a pool from the main thread only.
class ProcessPool {
 public:
  ProcessPool();
  ~ProcessPool();  // kills and reaps what still runs
  ProcessPool(const ProcessPool&) = delete;

  // Runs this same program, also if its file has been replaced meanwhile. Throws std::runtime_error.
  pid_t start(const ProcessRequest& request);
  // Those that have ended; waits up to `seconds` for the first. A signal ends the wait early.
  std::vector<EndedProcess> wait(double seconds);
  void signal_all(int signal);
  size_t num_running() const { return running_.size(); }

 private:
  std::vector<pid_t> running_;
  sigset_t old_mask_;
};

}  // namespace linden
