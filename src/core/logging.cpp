#include "core/logging.h"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <memory>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/terminal_line.h"

namespace linden {
namespace {

constexpr const char* kPattern = "%H:%M:%S  %l  %v";

class StderrSink final : public spdlog::sinks::base_sink<std::mutex> {
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    print_above_status_line(fmt::to_string(line));
  }
  void flush_() override {}
};

// One JSON object a line: {"time": "2025-01-31T12:00:00.123", "level": "info", "message": "..."}.
class JsonLinesSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit JsonLinesSink(const std::string& file) { file_.open(file); }

 private:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t time;
    time_.format(message, time);
    nlohmann::ordered_json line;
    line["time"] = fmt::to_string(time);
    line["level"] = std::string(spdlog::level::to_string_view(message.level).data());
    line["message"] = std::string(message.payload.data(), message.payload.size());
    // A path may hold bytes that are not UTF-8: they must not stop a run.
    const std::string text = line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
    spdlog::memory_buf_t bytes;
    bytes.append(text.data(), text.data() + text.size());
    file_.write(bytes);
  }
  void flush_() override { file_.flush(); }

  spdlog::details::file_helper file_;
  spdlog::pattern_formatter time_{"%Y-%m-%dT%H:%M:%S.%e", spdlog::pattern_time_type::local, ""};
};

struct Log {
  Log() : logger("linden", std::make_shared<StderrSink>()) {
    logger.set_pattern(kPattern);
    logger.flush_on(spdlog::level::info);
    logger.set_error_handler([this](const std::string& reason) { on_failure(reason); });
  }
  // A sink cannot write, for example because the disk is full: said once a run, on stderr only.
  void on_failure(const std::string& reason) {
    if (failed.exchange(true)) return;
    print_above_status_line(fmt::format(
        "warning: {}: the logs of this run (log.txt, log.jsonl) cannot be written: {}; the run goes on, its messages stand here only\n", folder, reason));
  }
  spdlog::logger logger;
  std::string folder;
  std::atomic<bool> failed{false};
  std::atomic<int64_t> num_warnings{0};
};

Log& the_log() {
  static Log log;
  return log;
}

}  // namespace

void log_line(const std::string& level, const std::string& message) {
  Log& log = the_log();
  check(level == "info" || level == "warning" || level == "error", "log_line: level is \"{}\", wanted info, warning or error", level);
  if (level == "warning") ++log.num_warnings;
  log.logger.log(spdlog::level::from_str(level), spdlog::string_view_t(message.data(), message.size()));
}

int64_t warnings_logged() { return the_log().num_warnings; }

void log_to_folder(const std::filesystem::path& folder) {
  Log& log = the_log();
  auto& sinks = log.logger.sinks();
  sinks.resize(1);  // stderr stays
  log.folder = folder.string();
  log.failed = false;
  if (folder.empty()) return;
  try {
    auto text = std::make_shared<spdlog::sinks::basic_file_sink_mt>((folder / "log.txt").string());
    text->set_pattern(kPattern);
    sinks.push_back(text);
    sinks.push_back(std::make_shared<JsonLinesSink>((folder / "log.jsonl").string()));
  } catch (const spdlog::spdlog_ex& error) {
    sinks.resize(1);
    throw InputError(fmt::format("{}: cannot write the logs of this run: {}", folder.string(), error.what()));
  }
}

}  // namespace linden
