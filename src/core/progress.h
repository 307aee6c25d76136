// Progress with ETA: one rewritten line on a terminal, a plain line now and then elsewhere.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace linden {

class Progress {
 public:
  // `unit`: what is counted ("step", "NFE"). `done`: where a resumed run starts.
  Progress(std::string title, int64_t total, std::string unit, int64_t done = 0);
  ~Progress();
  void update(int64_t done, const std::string& note = "");
  void finish();
  // "train  40/100 step (40 %)  2.00 step/s  ETA 0:30  loss 0.1"
  std::string line(double elapsed_seconds) const;

 private:
  void draw(bool last);
  std::string title_, unit_, note_;
  int64_t total_, first_, done_;
  bool terminal_, finished_ = false;
  std::chrono::steady_clock::time_point start_, last_;
};

// SIGINT/SIGTERM: a loop asks interrupt_requested() between steps, saves and throws Interrupted.
// A second signal ends the process at once.
void install_interrupt_handler();
bool interrupt_requested();
void request_interrupt();  // for tests
void clear_interrupt();    // for tests

std::string format_duration(double seconds);  // "1:02:03", "2:03"

}  // namespace linden
