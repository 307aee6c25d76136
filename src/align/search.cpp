#include "align/search.h"

#include <ATen/ATen.h>

#include <cmath>

#include "core/clock.h"
#include "core/error.h"
#include "core/progress.h"

namespace linden {
namespace {

// One rollout in flight: the chain of open nodes from the expanded node down to its leaf.
struct Rollout {
  int32_t from = 0;  // the expanded node
  std::vector<int32_t> chain;
  int64_t stream = 0;  // index of its noise: the iteration number
};

// Adds the time until it goes out of scope.
class Stopwatch {
 public:
  explicit Stopwatch(double& seconds) : seconds_(seconds) {}
  ~Stopwatch() { seconds_ += seconds_since(start_); }

 private:
  double& seconds_;
  Clock::time_point start_ = Clock::now();
};

struct Batch {
  std::vector<Rollout> rollouts;
  std::vector<int32_t> revisited;  // old leaves in which an iteration ended
};

// Selects and expands up to batch_size leaves. Stops early after max_free_revisits revisits in a row.
Batch select_batch(SearchState& state, const SearchPlan& plan, uint64_t seed) {
  const Stopwatch watch(state.bookkeeping_seconds);
  Batch batch;
  int64_t revisits = 0;
  while (static_cast<int64_t>(batch.rollouts.size()) < plan.batch_size && revisits < plan.max_free_revisits) {
    const int64_t iteration = state.tree.num_iterations++;
    RandomStream random(seed, Purpose::kSelection, static_cast<uint64_t>(iteration));
    const int32_t node = select(state.tree, plan.widening, plan.selection, plan.backup, random);
    count_visit(state.tree, node);
    if (state.tree.is_leaf(node)) {
      batch.revisited.push_back(node);
      ++revisits;
      continue;
    }
    revisits = 0;
    ++state.expansions[state.tree.depth[node]];
    batch.rollouts.push_back({node, expand(state.tree, node), iteration});
  }
  state.tree.num_revisits += static_cast<int64_t>(batch.revisited.size());
  return batch;
}

// States at branch levels go to the store; a chain's nodes lie at the levels below the expanded node's.
void store_level(SearchState& state, const std::vector<Rollout*>& active, const at::Tensor& latents, int64_t level) {
  const Stopwatch watch(state.bookkeeping_seconds);
  const auto& levels = state.tree.branch_levels;
  for (size_t d = 1; d < levels.size(); ++d) {
    if (levels[d] != level) continue;
    const int64_t first = state.latents.append(latents);
    for (size_t i = 0; i < active.size(); ++i) {
      const Rollout& rollout = *active[i];
      const int32_t node = rollout.chain[d - 1 - state.tree.depth[rollout.from]];
      state.tree.latent_row[node] = first + static_cast<int64_t>(i);
    }
  }
}

// Rollouts whose expanded node lies at `level` join the batch.
at::Tensor join(SearchState& state, std::vector<Rollout>& rollouts, std::vector<Rollout*>& active, at::Tensor batch, int64_t level, Executor& executor) {
  std::vector<int64_t> streams, rows;
  for (Rollout& rollout : rollouts) {
    if (state.tree.branch_levels[state.tree.depth[rollout.from]] != level) continue;
    active.push_back(&rollout);
    if (rollout.from == 0) streams.push_back(rollout.stream);
    else rows.push_back(state.tree.latent_row[rollout.from]);
  }
  std::vector<at::Tensor> parts;
  if (batch.defined()) parts.push_back(batch);
  if (!streams.empty()) parts.push_back(executor.initial(streams));
  if (!rows.empty()) {
    const Stopwatch watch(state.bookkeeping_seconds);
    parts.push_back(state.latents.gather(rows));
  }
  if (parts.empty()) return {};
  return parts.size() == 1 ? parts.front() : at::cat(parts);
}

// One batch for all open leaves: rows share a level; those that start lower join on the way. Returns [B, ...] finished samples.
at::Tensor roll_out(SearchState& state, std::vector<Rollout>& rollouts, Executor& executor, std::vector<Rollout*>& active) {
  at::Tensor batch;
  for (int64_t level = executor.denoiser().num_levels(); level >= 1; --level) {
    batch = join(state, rollouts, active, batch, level, executor);
    if (!batch.defined()) continue;
    std::vector<int64_t> levels(active.size(), level), streams(active.size());
    for (size_t i = 0; i < active.size(); ++i) streams[i] = active[i]->stream;
    batch = executor.advance(batch, levels, streams);
    store_level(state, active, batch, level - 1);
  }
  return batch;
}

// Puts the tree back to before the batch.
void undo(SearchState& state, const Batch& batch, int64_t rows_before) {
  std::vector<std::vector<int32_t>> chains;
  for (const Rollout& rollout : batch.rollouts) {
    chains.push_back(rollout.chain);
    --state.expansions[state.tree.depth[rollout.from]];
  }
  abandon(state.tree, chains);
  for (int32_t leaf : batch.revisited)
    for (int32_t node = state.tree.parent[leaf]; node >= 0; node = state.tree.parent[node]) --state.tree.visits[node];
  state.tree.num_revisits -= static_cast<int64_t>(batch.revisited.size());
  state.tree.num_iterations -= static_cast<int64_t>(batch.rollouts.size() + batch.revisited.size());
  state.latents.truncate(rows_before);
}

RewardError reward_error(const Tree& tree, const Rollout& bad, double value, const std::string& reward) {
  return RewardError(
      fmt::format("the reward ({}) of node {} is {}, wanted a finite number: leaf of iteration {}, expanded from node {} "
                  "at level {}. The tree without this batch is saved; --resume goes on from there.",
                  reward, bad.chain.back(), value, bad.stream, bad.from, tree.branch_levels[tree.depth[bad.from]]));
}

void add(CallCount& total, const CallCount& now, const CallCount& before) {
  total.nfe += now.nfe - before.nfe;
  total.network_calls += now.network_calls - before.network_calls;
  total.batches += now.batches - before.batches;
}

// One pass of the loop. False: nothing but revisits.
bool run_batch(SearchState& state, const SearchPlan& plan, Executor& executor, Reward& reward, uint64_t seed) {
  const int64_t rows_before = state.latents.size();
  const CallCount executor_before = executor.count();
  Batch batch = select_batch(state, plan, seed);
  if (batch.rollouts.empty()) return false;
  std::vector<Rollout*> active;  // in the order of the rows of `samples`
  const at::Tensor samples = roll_out(state, batch.rollouts, executor, active);
  const at::Tensor rewards = reward.evaluate(samples);
  const double* value = rewards.const_data_ptr<double>();
  std::vector<double> by_rollout(batch.rollouts.size());
  for (size_t i = 0; i < active.size(); ++i) {
    if (!std::isfinite(value[i])) {
      const RewardError error = reward_error(state.tree, *active[i], value[i], reward.description());
      undo(state, batch, rows_before);
      throw error;
    }
    by_rollout[static_cast<size_t>(active[i] - batch.rollouts.data())] = value[i];
  }
  add(state.calls, executor.count(), executor_before);
  state.reward_calls += samples.size(0);
  const Stopwatch watch(state.bookkeeping_seconds);
  for (size_t r = 0; r < batch.rollouts.size(); ++r) backup(state.tree, batch.rollouts[r].chain.back(), by_rollout[r], plan.backup);
  return true;
}

}  // namespace

SearchState::SearchState(const SearchPlan& plan, const Denoiser& denoiser)
    : tree(plan.branch_levels),
      latents(denoiser.state().shape, denoiser.state().dtype, denoiser.device(), plan.device_latents_mib << 20),
      expansions(plan.branch_levels.size() - 1, 0) {}

StopReason grow(SearchState& state, const SearchPlan& plan, Executor& executor, Reward& reward, uint64_t seed, int64_t budget,
                const std::function<void(const SearchState&)>& after_batch) {
  while (state.calls.nfe < budget) {
    if (interrupt_requested()) return StopReason::kInterrupted;
    bool grew = false;
    {
      const Stopwatch watch(state.seconds);
      grew = run_batch(state, plan, executor, reward, seed);
    }
    if (!grew) return StopReason::kFreeRevisits;
    after_batch(state);
  }
  return StopReason::kBudget;
}

}  // namespace linden
