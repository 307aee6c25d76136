#include "core/metrics_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <sstream>

#include "core/error.h"
#include "core/files.h"

namespace linden {
namespace {

std::vector<std::string> split_lines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

std::vector<std::string> split_cells(const std::string& line) {
  std::vector<std::string> cells;
  std::istringstream in(line);
  for (std::string cell; std::getline(in, cell, ',');) cells.push_back(cell);
  return cells;
}

std::string header(const std::vector<std::string>& columns) { return columns.empty() ? "step\n" : fmt::format("step,{}\n", fmt::join(columns, ",")); }

}  // namespace

MetricsFile::MetricsFile(std::filesystem::path file) : file_(std::move(file)) {
  if (std::filesystem::exists(file_)) {
    const std::vector<std::string> lines = split_lines(read_text_file(file_));
    if (!lines.empty()) columns_ = split_cells(lines[0]);
    if (!columns_.empty()) columns_.erase(columns_.begin());
  }
  reopen();
}

void MetricsFile::reopen() {
  out_.close();
  out_.clear();
  out_.open(file_, std::ios::app);
  if (!out_) throw std::runtime_error(fmt::format("{}: cannot open it for appending: {}", file_.string(), std::strerror(errno)));
}

void MetricsFile::add_columns(const std::vector<std::string>& names) {
  columns_.insert(columns_.end(), names.begin(), names.end());
  std::string text = header(columns_);
  if (std::filesystem::exists(file_)) {
    const std::vector<std::string> lines = split_lines(read_text_file(file_));
    for (size_t i = 1; i < lines.size(); ++i) text += lines[i] + std::string(names.size(), ',') + "\n";
  }
  write_file_atomically(file_, text);
  reopen();
}

void MetricsFile::append(int64_t step, const std::vector<std::pair<std::string, double>>& values) {
  std::vector<std::string> unknown;
  for (const auto& [name, value] : values) {
    check(name.find_first_of(",\n\"") == std::string::npos, "a metric's name may not hold a comma, quote or newline: {}", name);
    if (std::find(columns_.begin(), columns_.end(), name) == columns_.end()) unknown.push_back(name);
  }
  if (!unknown.empty()) add_columns(unknown);
  std::string row = std::to_string(step);
  for (const std::string& column : columns_) {
    const auto found = std::find_if(values.begin(), values.end(), [&](const auto& value) { return value.first == column; });
    row += found == values.end() ? "," : fmt::format(",{}", found->second);
  }
  errno = 0;
  out_ << row << '\n' << std::flush;
  if (!out_) throw std::runtime_error(fmt::format("{}: cannot append a row: {}", file_.string(), std::strerror(errno)));
}

void MetricsFile::cut_after(int64_t step) {
  const std::string text = read_text_file(file_);
  std::vector<std::string> lines = split_lines(text);
  if (!text.empty() && text.back() != '\n') lines.pop_back();
  std::string kept = header(columns_);
  for (size_t i = 1; i < lines.size(); ++i)
    if (std::strtoll(lines[i].c_str(), nullptr, 10) <= step) kept += lines[i] + "\n";
  write_file_atomically(file_, kept);
  reopen();
}

}  // namespace linden
