// sweep.lock: an flock that the cells inherit.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <thread>

#include "core/error.h"
#include "core/files.h"
#include "experiment/sweep_folder.h"

namespace linden {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

// Cells of a sweep that was just killed need a moment to end.
constexpr int kLockTries = 40;
constexpr milliseconds kBetweenTries{30};

std::string holder(const fs::path& lock) {
  const std::string text = read_text_file(lock);
  const long pid = std::strtol(text.c_str(), nullptr, 10);
  const bool alive = pid > 0 && (kill(static_cast<pid_t>(pid), 0) == 0 || errno == EPERM);
  return alive ? fmt::format("another sweep (process {}) is working in this folder", pid) : "a cell of an earlier sweep is still running in this folder";
}

// 0, or errno: EWOULDBLOCK if somebody else holds it.
int try_lock(int descriptor) {
  for (int i = 0; i < kLockTries; ++i) {
    if (flock(descriptor, LOCK_EX | LOCK_NB) == 0) return 0;
    if (errno != EWOULDBLOCK && errno != EINTR) return errno;
    std::this_thread::sleep_for(kBetweenTries);
  }
  return EWOULDBLOCK;
}

}  // namespace

SweepLock::SweepLock(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  check_input(!error, "{}: cannot make the folder: {}; choose another --output", folder.string(), error.message());
  const fs::path file = folder / "sweep.lock";
  descriptor_ = open(file.c_str(), O_RDWR | O_CREAT, 0644);  // no O_CLOEXEC: the cells keep it
  check_input(descriptor_ >= 0, "{}: cannot be opened: {}; choose another --output", file.string(), std::strerror(errno));
  if (const int reason = try_lock(descriptor_); reason != 0) {
    close(descriptor_);
    throw InputError(reason == EWOULDBLOCK ? fmt::format("{}: {}; wait for it, or choose another --output", folder.string(), holder(file))
                                           : fmt::format("{}: cannot be locked: {}; choose an --output on another disk", file.string(), std::strerror(reason)));
  }
  const std::string pid = fmt::format("{}\n", getpid());
  if (ftruncate(descriptor_, 0) != 0 || pwrite(descriptor_, pid.data(), pid.size(), 0) < 0)
    throw std::runtime_error(fmt::format("{}: cannot be written: {}", file.string(), std::strerror(errno)));
}

SweepLock::~SweepLock() { close(descriptor_); }

}  // namespace linden
