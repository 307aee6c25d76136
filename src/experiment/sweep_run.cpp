// The loop of a sweep: start what is to be done, wait, see on the disk what came of it.
#include "experiment/sweep_run.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>

#include "core/clock.h"
#include "core/device.h"
#include "core/error.h"
#include "core/files.h"
#include "core/logging.h"
#include "core/progress.h"
#include "core/terminal_line.h"
#include "experiment/process_pool.h"
#include "experiment/sweep_folder.h"
#include "experiment/sweep_plan.h"

namespace linden {
namespace {

namespace fs = std::filesystem;

constexpr double kDrawInterval = 0.2;    // seconds between two status lines
constexpr double kStatusInterval = 2.0;  // seconds between two writings of status.json while nothing ends
constexpr int kInputErrorCode = 2;       // a cell that was begun anew and ends so would end so again
constexpr int kInterruptedCode = 130;    // it saved and stopped
constexpr const char* kAttemptLine = "--- attempt ";
constexpr const char* kVisibleGpus = "CUDA_VISIBLE_DEVICES";

std::vector<std::string> words_of(const std::string& command) {
  std::istringstream in(command);
  std::vector<std::string> words;
  for (std::string word; in >> word;) words.push_back(word);
  return words;
}

// The last lines that the last attempt wrote.
std::string last_lines(const fs::path& log) {
  constexpr size_t kLines = 4;
  std::deque<std::string> lines;
  std::ifstream in(log);
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with(kAttemptLine) || line.starts_with("error: ")) lines.clear();
    if (!line.empty() && !line.starts_with(kAttemptLine)) lines.push_back(line);
    if (lines.size() > kLines) lines.pop_front();
  }
  std::string text;
  for (const std::string& line : lines) text += "\n      " + line;
  return text;
}

class SweepRunner {
 public:
  SweepRunner(const SweepConfig& config, const SweepTarget& target, const SweepOptions& options, const SweepFolder& folder, SweepPlan plan)
      : config_(config),
        target_(target),
        options_(options),
        folder_(folder),
        plan_(std::move(plan)),
        ignored_(where_keys(config)),
        left_(plan_.to_run.begin(), plan_.to_run.end()),
        processes_(std::max<int64_t>(1, std::min<int64_t>(config.processes, static_cast<int64_t>(left_.size())))),
        gpus_(gpu_names(std::getenv(kVisibleGpus), config.gpus)) {}

  void run() {
    record_unknown_ends();
    fs::remove(folder_.path() / "summary.json");
    while (true) {
      if (interrupt_requested() && !stopping_) stop("stopping: the cells at work save what they have (a second signal ends them at once)");
      while (!stopping_ && !left_.empty() && pool_.num_running() < static_cast<size_t>(processes_)) start_next();
      if (pool_.num_running() == 0) break;
      for (const EndedProcess& ended : pool_.wait(kDrawInterval)) finish(ended);
      show();
    }
    show_status_line_on_terminal("");
    write_status(outcome());
    write_file_atomically(folder_.path() / "sweep.md", sweep_table("Sweep " + config_.file.stem().string(), status(), plan_.progress));
    report();
  }

 private:
  struct Running {
    size_t cell;
    Clock::time_point start;
    int64_t attempt;
    bool resumed;
    size_t gpu;  // into gpus_
  };

  SweepStatus status() const { return sweep_status(plan_.progress, processes_, seconds_since(start_)); }

  // Finished in a sweep that was killed before it could say so.
  void record_unknown_ends() const {
    for (size_t i = 0; i < plan_.cells.size(); ++i) {
      if (!plan_.end_unknown[i]) continue;
      JournalEvent event;
      event.event = "found";
      event.cell = plan_.cells[i].name;
      event.hash = plan_.cells[i].hash;
      event.attempt = plan_.progress[i].attempts;
      event.result = "done";
      folder_.journal().append(event);
    }
  }

  void stop(const std::string& message) {
    stopping_ = true;
    log_info("{}", message);
    pool_.signal_all(SIGINT);
  }

  void start_next() {
    const size_t index = left_.front();
    left_.pop_front();
    const SweepCell& cell = plan_.cells[index];
    CellProgress& progress = plan_.progress[index];
    const bool resume = can_go_on(index);
    if (!resume && fs::exists(folder_.run_of(cell.name))) {
      folder_.move_aside(cell.name);
      write_event("aside", index, progress.attempts, false);
    }
    ++progress.attempts;
    write_event("start", index, progress.attempts, resume);
    const size_t gpu = free_gpu();
    const ProcessRequest request = request_for(index, resume, gpu);
    std::ofstream(request.log, std::ios::app) << kAttemptLine << progress.attempts << ": linden " << fmt::format("{}", fmt::join(request.arguments, " "))
                                              << "\n";
    running_[pool_.start(request)] = {index, Clock::now(), progress.attempts, resume, gpu};
    progress.stage = CellStage::kRunning;
    progress.seconds = 0;
    write_status("running");
  }

  // Resume, or begin anew? An attempt that resumed and failed is not resumed again: what it found may be at fault.
  bool can_go_on(size_t index) {
    const SweepCell& cell = plan_.cells[index];
    const bool first_retry = !options_.retry.empty() && failures_[index] == 0;
    if (first_retry || plan_.attempt_failed_resumed[index]) return false;
    return folder_.state_of(cell.name, cell.hash, target_, ignored_) == CellState::kBegun;
  }

  // The one with the fewest cells at work.
  size_t free_gpu() const {
    std::vector<int64_t> load(std::max<size_t>(1, gpus_.size()));
    for (const auto& [pid, running] : running_) ++load[running.gpu];
    return static_cast<size_t>(std::ranges::min_element(load) - load.begin());
  }

  ProcessRequest request_for(size_t index, bool resume, size_t gpu) const {
    const SweepCell& cell = plan_.cells[index];
    ProcessRequest request;
    request.log = folder_.log_of(cell.name);
    request.arguments = words_of(target_.command);
    request.arguments.push_back(folder_.config_of(cell.name).string());
    request.arguments.insert(request.arguments.end(), {"--output", folder_.run_of(cell.name).string()});
    if (resume) request.arguments.push_back("--resume");
    if (!gpus_.empty()) request.environment.emplace_back(kVisibleGpus, gpus_[gpu]);  // there it is cuda:0
    const ConfigLeaf* threads = find_leaf(cell.leaves, "threads");
    if (config_.processes > 1 && threads && threads->text == "0") {  // by the config, not by how many are left: the same after --resume
      const int64_t share = std::max<int64_t>(1, available_cores() / config_.processes);
      request.arguments.insert(request.arguments.end(), {"--set", fmt::format("threads={}", share)});
      request.environment.emplace_back("OMP_NUM_THREADS", fmt::format("{}", share));
    }
    return request;
  }

  void write_event(const std::string& name, size_t index, int64_t attempt, bool resumed, const std::string& result = "", const std::string& detail = "",
                   double seconds = 0) const {
    folder_.journal().append({name, plan_.cells[index].name, plan_.cells[index].hash, attempt, resumed, result, detail, seconds, ""});
  }

  void finish(const EndedProcess& ended) {
    const Running running = running_.at(ended.pid);
    running_.erase(ended.pid);
    const SweepCell& cell = plan_.cells[running.cell];
    CellProgress& progress = plan_.progress[running.cell];
    const bool done = folder_.state_of(cell.name, cell.hash, target_, ignored_) == CellState::kDone;
    const bool interrupted = stopping_ && (ended.signal != 0 || ended.exit_code == kInterruptedCode);
    progress.stage = done ? CellStage::kDone : interrupted ? CellStage::kInterrupted : CellStage::kFailed;
    progress.seconds = done ? std::max(folder_.wall_seconds(cell.name), seconds_since(running.start)) : 0;
    progress.detail = progress.stage == CellStage::kFailed ? ended.describe() : "";
    const char* result = done ? "done" : interrupted ? "interrupted" : "failed";
    write_event("end", running.cell, running.attempt, running.resumed, result, ended.describe(), seconds_since(running.start));
    if (progress.stage == CellStage::kFailed) handle_failure(running, ended);
    const SweepStatus now = status();
    log_info("{} {}  ({})", cell.name, done ? "done in " + format_duration(progress.seconds) : fmt::format("{}: {}", result, ended.describe()),
             status_line(now));
    write_status("running");
  }

  void handle_failure(const Running& running, const EndedProcess& ended) {
    CellProgress& progress = plan_.progress[running.cell];
    plan_.attempt_failed_resumed[running.cell] = running.resumed;
    const bool refused = ended.signal == 0 && ended.exit_code == kInputErrorCode;
    // What it had saved cannot be gone on with (no latents, a damaged file): begun anew, which is no retry.
    const bool unusable = refused && running.resumed;
    const bool again = !stopping_ && (unusable || (++failures_[running.cell] <= config_.retries && !refused));
    if (again) {
      progress.stage = CellStage::kLeft;
      left_.push_front(running.cell);
    } else if (config_.stop_on_failure && !stopping_) {
      left_.clear();
      stop(fmt::format("{} failed, and on_failure is stop: the cells at work save what they have", progress.name));
    }
  }

  void show() {
    for (const auto& [pid, running] : running_) plan_.progress[running.cell].seconds = seconds_since(running.start);
    show_status_line_on_terminal(status_line(status()));
    if (seconds_since(written_) >= kStatusInterval) write_status("running");
  }

  static void show_status_line_on_terminal(const std::string& text) {
    if (stderr_is_terminal()) show_status_line(text);
  }

  void write_status(const std::string& state) {
    SweepStatus now = status();
    now.sweep = folder_.path().string();
    now.state = state;
    write_file_atomically(folder_.path() / "status.json", to_json(now) + "\n");
    written_ = Clock::now();
  }

  // "incomplete": --retry or --only ran some cells, and others are left.
  std::string outcome() const {
    const SweepStatus now = status();
    if (interrupt_requested() && now.num_left > 0) return "interrupted";
    return now.num_failed > 0 ? "failed" : now.num_left > 0 ? "incomplete" : "done";
  }

  void report() const {
    const SweepStatus now = status();
    const std::string path = folder_.path().string();
    if (outcome() == "interrupted")
      throw Interrupted(fmt::format("{} of {} cells are done in {}: the same command with --resume goes on", now.num_done, now.num_cells, path));
    if (now.num_failed > 0) {
      std::string list;
      for (const CellProgress& cell : plan_.progress)
        if (cell.stage == CellStage::kFailed)
          list += fmt::format("\n  {}: {}; {}{}", cell.name, cell.detail, folder_.log_of(cell.name).string(), last_lines(folder_.log_of(cell.name)));
      throw std::runtime_error(fmt::format("{} of {} cells failed in {} ({} done, {} left); --resume tries them again:{}", now.num_failed, now.num_cells, path,
                                           now.num_done, now.num_left, list));
    }
    if (now.num_left > 0) {
      log_info("{} of {} cells are done in {}: --resume without {} runs the rest", now.num_done, now.num_cells, path,
               options_.only.empty() ? "--retry" : "--only");
      return;
    }
    write_summary(now);
    log_info("{} cells done in {}: {}; next: linden report {} --output {}", now.num_done, format_duration(now.elapsed_seconds),
             (folder_.path() / "sweep.md").string(), path, (folder_.path() / "report").string());
  }

  // What makes the folder a finished run of `linden sweep`, which a report passes over on its way to the cells.
  void write_summary(const SweepStatus& now) const {
    double seconds = 0;
    for (const CellProgress& cell : plan_.progress) seconds += cell.seconds;
    write_file_atomically(folder_.path() / "summary.json",
                          fmt::format("{{\n  \"command\": \"sweep\",\n  \"of\": \"{}\",\n  \"num_cells\": {},\n  \"wall_seconds\": {}\n}}\n", target_.command,
                                      now.num_cells, seconds));
  }

  const SweepConfig& config_;
  const SweepTarget& target_;
  const SweepOptions& options_;
  const SweepFolder& folder_;
  SweepPlan plan_;
  std::vector<std::string> ignored_;
  std::deque<size_t> left_;  // into plan_.cells
  int64_t processes_;
  std::vector<std::string> gpus_;  // empty: each cell sees what this process sees
  ProcessPool pool_;
  std::map<pid_t, Running> running_;
  std::map<size_t, int64_t> failures_;  // of a cell in this sweep process
  bool stopping_ = false;
  Clock::time_point start_ = Clock::now(), written_ = start_;
};

}  // namespace

void run_sweep(const SweepConfig& config, const SweepTarget& target, const SweepOptions& options) {
  check_input(config.gpus == 0 || config.gpus <= num_cards(), "{}: gpus is {}, but this machine has {} CUDA card(s) that linden can use", config.file.string(),
              config.gpus, num_cards());
  const SweepFolder folder(options.output);
  folder.require_usable(options.resume);
  std::unique_ptr<SweepLock> lock;
  if (folder.exists()) lock = std::make_unique<SweepLock>(folder.path());
  SweepPlan plan = plan_sweep(config, target, options, folder);
  if (!lock) {
    lock = std::make_unique<SweepLock>(folder.path());
    folder.require_usable(options.resume);  // another sweep may have been faster
  }
  folder.freeze(plan.cells, config, target, plan.frozen);
  log_to_folder(folder.path());
  for (const std::string& warning : plan.warnings) log_warning("{}", warning);
  log_info("{}: {} cells of linden {}, {} to run, {} at once, in {}", config.file.string(), plan.cells.size(), target.command, plan.to_run.size(),
           config.processes, folder.path().string());
  SweepRunner(config, target, options, folder, std::move(plan)).run();
  log_to_folder("");
}

}  // namespace linden
