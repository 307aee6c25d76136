// From run records to a table: rows are groups of runs, columns are metrics with mean and deviation.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "experiment/metric_catalogue.h"
#include "experiment/references.h"
#include "experiment/run_record.h"

namespace linden {

struct Statistic {
  double mean = std::numeric_limits<double>::quiet_NaN();
  double deviation = 0;  // of the sample (divided by n - 1); 0 for one run
  int64_t count = 0;     // runs that have the number
  double standard_error() const;
};
Statistic statistic_of(const std::vector<double>& values);  // NaNs are left out

struct TableCell {
  Statistic value;
  bool marked = false;  // within the tolerance of the best in its column
};

struct TableRow {
  std::vector<std::string> keys;       // one a key column, as shown
  std::vector<const RunRecord*> runs;  // the group
  std::vector<TableCell> cells;        // one a metric column
  std::vector<Statistic> published;    // one a published column; count 0: nothing published
  // "DTS, 1000": the keys in one line.
  std::string label() const;
};

struct Table {
  std::string caption;                               // for files that hold tables alone (CSV, LaTeX)
  std::vector<std::string> key_columns, key_labels;  // "method.type", "Method"
  std::vector<MetricInfo> columns;
  std::vector<MetricInfo> published_columns;  // apart, to the right
  std::vector<TableRow> rows;
  std::vector<std::string> notes;  // under the table
};

struct TableRequest {
  std::vector<std::string> rows = {};                                    // key columns; empty: method.type and whatever else differs between runs
  std::vector<std::string> columns = {};                                 // metrics; empty: the default ones of the command
  std::vector<std::string> over = {"seed"};                              // keys that are averaged over
  std::vector<std::string> task = {};                                    // keys that make a section, and keys below them: never shown in rows
  double tolerance = 0.05;                                               // marked: |value - best| <= tolerance |best|
  std::vector<std::string> higher_is_better = {}, lower_is_better = {};  // override the catalogue
  std::vector<std::string> labels = {};                                  // "key=Label" or "value=Label"
};

// The label that `labels` gives, or `fallback`.
std::string relabelled(const std::vector<std::string>& labels, const std::string& name, const std::string& fallback);

// Runs of one command. Adds notes where a group mixes configs, holds one `over` value twice, or rows have
// unequal numbers of runs. `used` (as long as references.rows) is set where a published row was matched.
Table make_table(const std::vector<const RunRecord*>& runs, const TableRequest& request, const References& references = {}, std::vector<bool>* used = nullptr);

// Keys of the config in which the runs differ, beyond `ignored` ("reward" stands for "reward.digit" too) and beyond
// where and how they ran (output, device, threads ...), in file order.
std::vector<std::string> differing_keys(const std::vector<const RunRecord*>& runs, const std::vector<std::string>& ignored);

}  // namespace linden
