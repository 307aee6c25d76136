#include "core/run_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <optional>

#include "core/clock.h"
#include "core/environment.h"
#include "core/error.h"
#include "core/files.h"
#include "core/logging.h"
#include "core/metrics_file.h"

namespace linden {
namespace {

namespace fs = std::filesystem;

constexpr const char* kRoot = "runs";
constexpr double kRecordInterval = 10;  // seconds between two writings of command.json

// command.json. A resumed run has several parts: one entry each in the three lists.
struct CommandRecord {
  std::string command;
  std::vector<std::string> command_lines, started;
  std::vector<double> seconds;
};
void visit_fields(FieldVisitor& v, CommandRecord& c) {
  visit(v, Field("command", "subcommand"), c.command);
  visit(v, Field("command_lines", "as typed, one a part of the run"), c.command_lines);
  visit(v, Field("started", "local time"), c.started);
  visit(v, Field("seconds", "wall time of each part"), c.seconds);
}

bool holds_run(const fs::path& folder) { return fs::exists(folder / "config.json") && fs::exists(folder / "command.json"); }

// The number of runs/<name>/<NNN>, or nothing for another kind of name.
std::optional<int64_t> run_number(const fs::path& folder) {
  const std::string name = folder.filename().string();
  if (name.empty() || name.size() > 9 || !std::all_of(name.begin(), name.end(), [](char c) { return c >= '0' && c <= '9'; })) return std::nullopt;
  return std::stoll(name);
}

// The highest number under runs/<name>; 0 if there is none. `with_run`: only folders that hold a run.
int64_t newest_number(const fs::path& parent, bool with_run) {
  int64_t newest = 0;
  if (!fs::is_directory(parent)) return newest;
  for (const auto& entry : fs::directory_iterator(parent)) {
    const auto number = run_number(entry.path());
    if (number && (!with_run || holds_run(entry.path()))) newest = std::max(newest, *number);
  }
  return newest;
}

fs::path numbered(const fs::path& parent, int64_t number) { return parent / fmt::format("{:03}", number); }

void create_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  check_input(!error, "{}: cannot make the run folder: {}; choose another --output", folder.string(), error.message());
}

fs::path new_folder(const RunOptions& options) {
  if (options.output.empty()) {
    const fs::path parent = fs::path(kRoot) / options.config_name;
    create_folder(parent);
    for (int64_t number = newest_number(parent, false) + 1;; ++number) {
      std::error_code error;
      const fs::path folder = numbered(parent, number);
      if (fs::create_directory(folder, error)) return folder;  // false: another run was faster
      check_input(!error, "{}: cannot make the run folder: {}; choose another --output", folder.string(), error.message());
    }
  }
  check_input(!holds_run(options.output), "{}: this folder holds a run already; pass --resume to go on with it, or choose another --output",
              options.output.string());
  for (const char* name : {"config.json", "command.json", "metrics.csv", "summary.json"})
    check_input(!fs::exists(options.output / name),
                "{}: this folder belongs to something else: it holds a {}, which a run would write over; choose another --output", options.output.string(),
                name);
  create_folder(options.output);
  return options.output;
}

fs::path folder_to_resume(const RunOptions& options) {
  if (!options.output.empty()) {
    check_input(holds_run(options.output), "{}: --resume, but this folder holds no run (no config.json with a command.json); leave out --resume to start one",
                options.output.string());
    return options.output;
  }
  const fs::path parent = fs::path(kRoot) / options.config_name;
  const int64_t number = newest_number(parent, true);
  check_input(number > 0, "{}: --resume, but there is no run of this config; leave out --resume to start one, or name the folder with --output",
              parent.string());
  return numbered(parent, number);
}

// Throws unless `config` differs from the stored one in changeable keys only. Returns a line for each of those.
std::vector<std::string> require_same_run(const fs::path& folder, const std::string& command, const CommandRecord& record, ConfigRef& config) {
  check_input(record.command == command, "{}: --resume, but this folder belongs to a run of `linden {}`, not `linden {}`; choose another --output",
              folder.string(), record.command, command);
  const std::unique_ptr<ConfigRef> stored = config.clone();
  const fs::path file = folder / "config.json";
  config_from_json(read_text_file(file), file.string(), *stored);
  std::vector<std::string> changes;
  for (const ConfigDifference& difference : config_difference(*stored, config)) {
    if (!difference.may_change)
      throw ConfigError(
          fmt::format("{}: --resume, but {} is {} there and {} now; this key may not change within a run: "
                      "set it back, or start another run without --resume",
                      file.string(), difference.key, difference.left, difference.right));
    if (difference.key != "output") changes.push_back(fmt::format("resumed with {} = {} (was {})", difference.key, difference.right, difference.left));
  }
  return changes;
}

}  // namespace

namespace {

// One process a run folder: held until the process ends, however it ends.
class FolderLock {
 public:
  explicit FolderLock(const fs::path& folder) {
    descriptor_ = ::open((folder / "run.lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (descriptor_ < 0) return;                                                       // what cannot be written is reported where results are written
    if (::flock(descriptor_, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return;  // a disk without locks: goes on
    ::close(descriptor_);
    throw InputError(fmt::format("{}: another process is at work in this run folder; wait for it, or choose another --output", folder.string()));
  }
  ~FolderLock() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  FolderLock(const FolderLock&) = delete;

 private:
  int descriptor_ = -1;
};

}  // namespace

struct RunDirectory::State {
  std::string command;
  fs::path path;
  bool resumed = false;
  std::optional<FolderLock> lock;
  CommandRecord record;
  Clock::time_point start = Clock::now(), recorded = start;
  std::optional<MetricsFile> metrics;
  std::vector<std::unique_ptr<MetricsSink>> sinks;

  void write_record() {
    recorded = Clock::now();
    record.seconds.back() = std::chrono::duration<double>(recorded - start).count();
    write_file_atomically(path / "command.json", to_json(record) + "\n");
  }
};

RunDirectory::RunDirectory(const RunOptions& options, ConfigRef& config) : state_(std::make_unique<State>()) {
  State& s = *state_;
  s.command = options.command;
  s.resumed = options.resume;
  s.path = options.resume ? folder_to_resume(options) : new_folder(options);
  s.lock.emplace(s.path);
  std::vector<std::string> changes;
  if (s.resumed) {
    const fs::path file = s.path / "command.json";
    from_json(read_text_file(file), file.string(), s.record);
    changes = require_same_run(s.path, options.command, s.record, config);
  }
  s.record.command = options.command;
  s.record.command_lines.push_back(options.command_line);
  s.record.started.push_back(local_time());
  s.record.seconds.resize(s.record.started.size());
  try {
    write_file_atomically(s.path / "config.json", config_to_json(config) + "\n");
    s.write_record();
    write_file_atomically(s.path / "environment.json", to_json(current_environment()) + "\n");
    log_to_folder(s.path);
    s.metrics.emplace(s.path / "metrics.csv");
  } catch (...) {  // a full disk: a new folder is not left as half a run, which the next try would be refused for
    log_to_folder("");
    std::error_code ignored;
    for (const char* name : {"config.json", "command.json", "environment.json", "log.txt", "log.jsonl", "metrics.csv"})
      if (!s.resumed) fs::remove(s.path / name, ignored);
    throw;
  }
  log_info("{} {} in {}", s.resumed ? "resuming" : "starting", options.command, s.path.string());
  for (const std::string& change : changes) log_info("{}", change);
}

RunDirectory::~RunDirectory() {
  try {
    for (auto& sink : state_->sinks) sink->flush();
    state_->write_record();
  } catch (const std::exception& error) { log_line("error", error.what()); }
  log_to_folder("");
}

const fs::path& RunDirectory::path() const { return state_->path; }
bool RunDirectory::resumed() const { return state_->resumed; }

void RunDirectory::log_metrics(int64_t step, const std::vector<std::pair<std::string, double>>& values) {
  state_->metrics->append(step, values);
  for (auto& sink : state_->sinks)
    for (const auto& [name, value] : values) sink->scalar(step, name, value);
  if (seconds_since(state_->recorded) > kRecordInterval) {
    state_->write_record();
    for (auto& sink : state_->sinks) sink->flush();
  }
}

void RunDirectory::cut_metrics_after(int64_t step) {
  state_->metrics->cut_after(step);
  for (auto& sink : state_->sinks) sink->cut_after(step);
}

void RunDirectory::add_sink(std::unique_ptr<MetricsSink> sink) { state_->sinks.push_back(std::move(sink)); }

void RunDirectory::log_image(int64_t step, const std::string& tag, const fs::path& png) {
  for (auto& sink : state_->sinks) sink->image(step, tag, png);
}

void RunDirectory::write_summary(ConfigRef& summary) {
  struct Summary {
    std::string command, run;
    double wall_seconds;
    ConfigRef& own;
  };
  struct SummaryRef final : ConfigRef {
    explicit SummaryRef(Summary s) : summary(std::move(s)) {}
    void accept(FieldVisitor& v) override {
      visit(v, Field("command", "subcommand"), summary.command);
      visit(v, Field("run", "folder"), summary.run);
      visit(v, Field("wall_seconds", "of all parts together"), summary.wall_seconds);
      summary.own.accept(v);
    }
    std::unique_ptr<ConfigRef> clone() const override { return std::make_unique<SummaryRef>(summary); }
    Summary summary;
  };
  state_->write_record();
  SummaryRef all({state_->command, state_->path.string(), wall_seconds(), summary});
  write_file_atomically(file("summary.json"), config_to_json(all) + "\n");
}

double RunDirectory::wall_seconds() const {
  double total = seconds_since(state_->start);
  for (size_t part = 0; part + 1 < state_->record.seconds.size(); ++part) total += state_->record.seconds[part];
  return total;
}

}  // namespace linden
