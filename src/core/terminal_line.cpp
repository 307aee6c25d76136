#include "core/terminal_line.h"

#include <unistd.h>

#include <cstdio>
#include <mutex>

namespace linden {
namespace {

std::mutex mutex;
std::string status;  // what stands on the terminal's last line now

void write_to_stderr(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

}  // namespace

bool stderr_is_terminal() {
  static const bool terminal = isatty(STDERR_FILENO) == 1;
  return terminal;
}

void show_status_line(const std::string& text) {
  const std::lock_guard<std::mutex> lock(mutex);
  status = text;
  write_to_stderr("\r\033[K" + text);
}

void print_above_status_line(const std::string& text) {
  const std::lock_guard<std::mutex> lock(mutex);
  write_to_stderr(status.empty() ? text : "\r\033[K" + text + status);
}

}  // namespace linden
