// The report over a set of run folders: collect, group, write.
//
//   report.html   one file, pictures inside        report.md + figures/   the same for a repository
//   report.csv    every table in one                report.tex             every table for a paper
//   report.json   the resolved config of the report
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "experiment/document.h"
#include "experiment/report_config.h"
#include "experiment/run_record.h"

namespace linden {

// Sections by command, then by task; broken runs are listed at the end with their reasons.
// InputError: runs of several commands although one table was asked for (rows or columns given, no command),
// no run of the asked command, a column or row key that no run has (with the nearest one).
Document make_report(const RunCollection& collection, const ReportConfig& config);

struct ReportFiles {
  std::filesystem::path folder;
  size_t num_runs = 0, num_broken = 0;
};
// Collects, makes and writes; a report that is there already is replaced.
ReportFiles write_report(ReportConfig config);

}  // namespace linden
