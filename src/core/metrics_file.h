// metrics.csv: one row a logged step; columns may appear later; cut back when a run is resumed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

namespace linden {

class MetricsFile {
 public:
  // Opens the file to append; reads the columns that are there.
  explicit MetricsFile(std::filesystem::path file);
  // Appends "step,value,..." and flushes. A new name adds a column; earlier rows stay empty there.
  void append(int64_t step, const std::vector<std::pair<std::string, double>>& values);
  // Drops rows with a later step, and a row that a kill cut in half.
  void cut_after(int64_t step);

 private:
  void reopen();
  void add_columns(const std::vector<std::string>& names);

  std::filesystem::path file_;
  std::vector<std::string> columns_;  // without "step"
  std::ofstream out_;
};

}  // namespace linden
