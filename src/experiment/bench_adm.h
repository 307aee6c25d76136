// `linden bench adm`: which forms of anytime distribution matching are stable. Two pictures of the same forms: the linear one
// (transfer/linear_picture.h) and small students trained by the losses themselves (transfer/matching_trial.h).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/run_config.h"
#include "core/run_directory.h"
#include "transfer/matching_config.h"
#include "transfer/matching_trial.h"

namespace linden {

struct BenchAdmConfig {
  RunConfig run;
  std::vector<int64_t> solver_steps = {25, 50};       // of the linear picture
  std::vector<double> widths = {0.25, 0.5, 1, 2, 4};  // of its kernel, in solver steps
  double horizon = 64;
  MatchingTrialConfig trial;
  std::vector<double> trial_widths = {0.5, 1, 2, 4};
  std::vector<double> learning_rates = {3e-4, 3e-3};
};
void visit_fields(FieldVisitor& v, BenchAdmConfig& c);

// A form that is compared, by name.
struct MatchingForm {
  std::string name;
  MatchingConfig matching;
  double epsilon = 1e-8;  // of Adam
};
std::vector<MatchingForm> matching_forms();

struct BenchAdmSummary {
  int64_t forms = 0, pictures = 0, trials = 0;
  int64_t trials_grown = 0;              // velocity error at the end above that at the start
  std::vector<std::string> always_fall;  // forms of which no trial ended above its start
  double seconds = 0;
};
void visit_fields(FieldVisitor& v, BenchAdmSummary& c);

// Prints a table; writes linear.csv, trials.csv, curves.csv, table.md and three figures in the run directory.
void run_bench_adm(BenchAdmConfig config, const RunOptions& options);

}  // namespace linden
