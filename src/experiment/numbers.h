// Numbers as people read them.
#pragma once

#include <string>

#include "experiment/metric_catalogue.h"
#include "experiment/table.h"

namespace linden {

// "0.0123", "1,234", "98.0 %": three significant digits (four from 10 on), whole numbers in full. "–" for no value.
std::string format_number(double value, Display display = Display::kNumber);
// "0.0123 ± 0.0040" when there are several runs.
std::string format_statistic(const Statistic& value, Display display = Display::kNumber);
// A cell of a CSV file: in quotes where it holds a comma, a quote or the end of a line.
std::string csv_cell(const std::string& text);

}  // namespace linden
