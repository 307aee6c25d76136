#include "core/progress.h"

#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>

#include "core/logging.h"
#include "core/terminal_line.h"

namespace linden {
namespace {

using Seconds = std::chrono::duration<double>;
constexpr double kTerminalInterval = 0.1;  // seconds between two drawings
constexpr double kPlainInterval = 10.0;

volatile std::sig_atomic_t interrupted = 0;

extern "C" void on_interrupt(int signal) {
  if (interrupted) std::_Exit(128 + signal);
  interrupted = 1;
}

}  // namespace

std::string format_duration(double seconds) {
  const auto total = static_cast<int64_t>(std::max(0.0, seconds) + 0.5);
  const int64_t h = total / 3600, m = total / 60 % 60, s = total % 60;
  return h > 0 ? fmt::format("{}:{:02}:{:02}", h, m, s) : fmt::format("{}:{:02}", m, s);
}

Progress::Progress(std::string title, int64_t total, std::string unit, int64_t done)
    : title_(std::move(title)),
      unit_(std::move(unit)),
      total_(total),
      first_(done),
      done_(done),
      terminal_(stderr_is_terminal()),
      start_(std::chrono::steady_clock::now()),
      last_(start_) {}

Progress::~Progress() {
  if (!finished_ && terminal_) show_status_line("");  // an exception is on its way: leave no half line
}

void Progress::update(int64_t done, const std::string& note) {
  done_ = done;
  note_ = note;
  const auto now = std::chrono::steady_clock::now();
  if (Seconds(now - last_).count() < (terminal_ ? kTerminalInterval : kPlainInterval)) return;
  last_ = now;
  draw(false);
}

void Progress::finish() {
  if (finished_) return;
  finished_ = true;
  draw(true);
}

std::string Progress::line(double elapsed_seconds) const {
  const double rate = elapsed_seconds > 0 ? static_cast<double>(done_ - first_) / elapsed_seconds : 0;
  const double percent = total_ > 0 ? 100.0 * static_cast<double>(done_) / static_cast<double>(total_) : 100.0;
  std::string text = fmt::format("{}  {}/{} {} ({:.0f} %)", title_, done_, total_, unit_, percent);
  if (rate > 0) text += fmt::format("  {:.{}f} {}/s", rate, rate < 10 ? 2 : 0, unit_);
  if (done_ < total_) text += "  ETA " + (rate > 0 ? format_duration(static_cast<double>(total_ - done_) / rate) : "?");
  else text += "  in " + format_duration(elapsed_seconds);
  return note_.empty() ? text : text + "  " + note_;
}

void Progress::draw(bool last) {
  const std::string text = line(Seconds(std::chrono::steady_clock::now() - start_).count());
  if (terminal_ && !last) {
    show_status_line(text);
    return;
  }
  if (terminal_) show_status_line("");
  log_info("{}", text);
}

void install_interrupt_handler() {
  std::signal(SIGINT, on_interrupt);
  std::signal(SIGTERM, on_interrupt);
  std::signal(SIGXFSZ, SIG_IGN);  // a limit of the shell on file sizes: the write says so
}
bool interrupt_requested() { return interrupted != 0; }
void request_interrupt() { interrupted = 1; }
void clear_interrupt() { interrupted = 0; }

}  // namespace linden
