// The parts of a report over runs of one command.
#pragma once

#include <string>
#include <vector>

#include "experiment/document.h"
#include "experiment/report_config.h"
#include "experiment/run_record.h"

namespace linden {

struct SectionContext {
  const ReportConfig* config = nullptr;
  const References* references = nullptr;
  std::vector<bool>* used_references = nullptr;
  std::vector<std::string>* problems = nullptr;  // what could not be shown, with the reason
  std::string stem;                              // unique start of the section's picture names
};

// A task of `linden align`: findings, table, samples side by side, curves, the tree.
std::vector<Block> align_section(const std::string& title, const std::vector<const RunRecord*>& runs, const SectionContext& context);
// Runs of any other command: table, loss curves, pictures that the runs left.
std::vector<Block> plain_section(const std::string& title, const std::vector<const RunRecord*>& runs, const SectionContext& context);

// "digit 3", "even digits", "mixture log ratio reward": what the runs of a task were asked for, with the keys in which
// this task differs from others (`differing`).
std::string task_title(const std::vector<const RunRecord*>& runs, const std::vector<std::string>& differing);

// Samples of a run as a picture: a contact sheet of the first `count` images of samples.h5, or a scatter plot of points;
// samples.png where there is no samples.h5. False if the run has neither.
bool sample_picture(const RunRecord& run, int64_t count, const std::string& label, Picture& picture);

}  // namespace linden
