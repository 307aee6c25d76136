// The loop of tree sampling and of every method on the same engine:
//     select -> expand -> roll out (one batch for all open leaves) -> evaluate -> back up,
// over a budget counted in function evaluations.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "align/latent_store.h"
#include "align/plan.h"
#include "align/reward.h"
#include "align/tree.h"
#include "diffusion/executor.h"

namespace linden {

// A tree and what it has cost so far: all that a saved search holds.
struct SearchState {
  SearchState(const SearchPlan& plan, const Denoiser& denoiser);
  Tree tree;
  LatentStore latents;  // states of nodes, row numbers in tree.latent_row
  CallCount calls;
  int64_t reward_calls = 0;
  std::vector<int64_t> expansions;  // [D] by depth of the node that was expanded
  double seconds = 0;               // wall time of the loop
  double bookkeeping_seconds = 0;   // of it: selection, expansion, backup, latents
};

// A reward that is not finite. The tree has been put back to before the batch.
class RewardError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

enum class StopReason { kBudget, kFreeRevisits, kInterrupted };

// Grows the tree until its NFE reach `budget`. `after_batch` runs after each finished batch.
StopReason grow(SearchState& state, const SearchPlan& plan, Executor& executor, Reward& reward, uint64_t seed, int64_t budget,
                const std::function<void(const SearchState&)>& after_batch);

}  // namespace linden
