// The numeric columns of a run's CSV file (curve.csv, metrics.csv).
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace linden {

struct CsvColumns {
  std::vector<std::string> names;
  std::vector<std::vector<double>> values;  // one a column, equally long; NaN where a cell is empty or no number
  // nullptr if there is no such column.
  const std::vector<double>* find(const std::string& name) const;
};

// InputError: missing file, no header, or a row with another number of cells than the header (names the line);
// a last line without its end is left out if cells are missing.
CsvColumns read_csv_columns(const std::filesystem::path& file);

}  // namespace linden
