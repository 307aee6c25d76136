#include "experiment/csv_columns.h"

#include <cstdlib>
#include <limits>
#include <sstream>

#include "core/error.h"
#include "core/files.h"

namespace linden {

namespace {

std::vector<std::string> split_cells(const std::string& line) {
  std::vector<std::string> cells(1);
  for (const char c : line) {
    if (c == ',') cells.emplace_back();
    else if (c != '\r') cells.back() += c;
  }
  return cells;
}

double to_number(const std::string& cell) {
  char* end = nullptr;
  const double value = std::strtod(cell.c_str(), &end);
  return !cell.empty() && *end == '\0' ? value : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace

const std::vector<double>* CsvColumns::find(const std::string& name) const {
  for (size_t column = 0; column < names.size(); ++column) {
    if (names[column] == name) return &values[column];
  }
  return nullptr;
}

CsvColumns read_csv_columns(const std::filesystem::path& file) {
  std::istringstream text(read_text_file(file));
  CsvColumns columns;
  std::string line;
  for (int64_t number = 1; std::getline(text, line); ++number) {
    if (line.empty() || line == "\r") continue;
    const std::vector<std::string> cells = split_cells(line);
    if (columns.names.empty()) {
      columns.names = cells;
      columns.values.resize(cells.size());
      continue;
    }
    if (text.eof() && cells.size() < columns.names.size()) break;  // cut in half by a kill
    check_input(cells.size() == columns.names.size(), "{}: line {} has {} cells, but the header has {}", file.string(), number, cells.size(),
                columns.names.size());
    for (size_t column = 0; column < cells.size(); ++column) columns.values[column].push_back(to_number(cells[column]));
  }
  check_input(!columns.names.empty(), "{}: empty, a CSV file starts with the names of its columns", file.string());
  return columns;
}

}  // namespace linden
