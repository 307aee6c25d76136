// The report of one transfer: report.html in its run folder, of what lies there, while it runs or when it has ended.
//
//   layers.csv bins.csv messages.csv   src/transfer/layer_log.h
//   metrics.csv summary.json config.json
//   strip_<step>.png strip_<step>.apng teacher.apng before.apng after.apng
#pragma once

#include <filesystem>

#include "experiment/document.h"

namespace linden {

// Whether a folder holds a run of `linden transfer`.
bool is_transfer_run(const std::filesystem::path& folder);

// A file that is missing or damaged is named at the end of the report. InputError: no such folder.
Document transfer_report(const std::filesystem::path& run);

// Writes report.html into `output` (empty: the run folder) and returns the file. Equal folders give equal files.
std::filesystem::path write_transfer_report(const std::filesystem::path& run, const std::filesystem::path& output = {});

}  // namespace linden
