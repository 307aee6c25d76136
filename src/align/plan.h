// A method's config as the rules that the one engine follows.
#pragma once

#include <string>

#include "align/config.h"
#include "align/readout.h"
#include "align/tree.h"

namespace linden {

struct SearchPlan {
  std::string method;
  std::vector<int64_t> branch_levels;  // as Tree::branch_levels: [S, S, 0.8 S, ..., 0] without the first for the root
  WideningRule widening;
  SelectionRule selection;
  BackupRule backup;
  ReadoutRule readout;
  int64_t batch_size = 1;
  int64_t max_free_revisits = 1;
  int64_t device_latents_mib = 0;
  bool groups = false;  // best-of-N: the best of equal groups instead of a read-out
};

// Throws ConfigError: branch steps off the grid, budget below one trajectory, more groups than trajectories.
SearchPlan make_plan(const AlignConfig& config, int64_t num_levels);

// The leaves that a run reports: draws of the read-out; for a greedy read-out the Algorithm 2 leaf, then the
// best other leaves by value; for best-of-N the best of each equal group.
std::vector<int32_t> choose_leaves(const Tree& tree, const SearchPlan& plan, uint64_t seed, int64_t count);

}  // namespace linden
