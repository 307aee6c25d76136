// The headline numbers of an align run, and the metrics behind them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "align/config.h"
#include "align/curve.h"
#include "align/reward.h"
#include "align/search.h"
#include "experiment/judge.h"

namespace linden {

struct AlignSummary {
  std::string method, reward, stopped_by;
  int64_t nfe = 0, network_calls = 0, reward_calls = 0;
  double root_value = 0;  // best_of_n: log-mean-exp of independent rewards, an importance estimate
  double exact_root_value = kNotMeasured;
  double mean_reward = 0;               // of the reported samples
  double best_reward = 0;               // of any leaf: "the single best"
  double greedy_reward = kNotMeasured;  // of the Algorithm 2 leaf of a greedy read-out
  int64_t num_leaves = 0, num_nodes = 0, num_iterations = 0, num_revisits = 0;
  int64_t num_samples = 0;
  int64_t num_distinct = 0;                 // distinct leaves among the reported samples
  double effective_samples = kNotMeasured;  // 1 / sum of squared read-out weights
  double search_seconds = 0, nfe_per_second = 0, bookkeeping_share = 0;
  std::vector<int64_t> branch_levels, expansions;
  // With a judge.
  std::string judge, features;         // the judge's folder; what the diversity is measured on
  double judged_share = kNotMeasured;  // share that the judge reads as asked
  double diversity = kNotMeasured;     // mean pairwise cosine distance of the judge's features
  JudgedDistances frechet;             // with judge.reference
  // Closed-form targets: exact read-out mass of each mode beside the target's, MMD^2 to exact draws.
  std::vector<double> mode_masses, target_masses;
  double mmd = kNotMeasured;
};
void visit_fields(FieldVisitor& v, AlignSummary& c);

// leaves: the reported samples' nodes; samples: [S, ...] their states on the denoiser's device.
AlignSummary summarize(const AlignConfig& config, const SearchPlan& plan, const SearchState& state, const Reward& reward, const std::vector<int32_t>& leaves,
                       const at::Tensor& samples);

}  // namespace linden
