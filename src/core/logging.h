// Log lines: people read them on stderr and in log.txt, machines in log.jsonl.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>

namespace linden {

void log_line(const std::string& level, const std::string& message);  // "info", "warning", "error"

template <class... Args>
void log_info(fmt::format_string<Args...> format, Args&&... args) {
  log_line("info", fmt::format(format, std::forward<Args>(args)...));
}
// A fallback or a suspicion. Tests fail on one they did not expect (warnings_logged()).
template <class... Args>
void log_warning(fmt::format_string<Args...> format, Args&&... args) {
  log_line("warning", fmt::format(format, std::forward<Args>(args)...));
}
int64_t warnings_logged();

// Adds (or, with an empty path, closes) the two files of a run folder as sinks.
void log_to_folder(const std::filesystem::path& folder);

}  // namespace linden
