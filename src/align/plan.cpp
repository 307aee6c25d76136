#include "align/plan.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace linden {
namespace {

// Levels by depth: the root and its children's draws share the S steps, so depth 0 stands for level S.
std::vector<int64_t> branch_levels(std::vector<int64_t> branch_at, int64_t num_levels) {
  if (branch_at.empty()) {
    for (int64_t fifth = 5; fifth >= 1; --fifth) branch_at.push_back(std::max<int64_t>(1, num_levels * fifth / 5));
    branch_at.erase(std::unique(branch_at.begin(), branch_at.end()), branch_at.end());  // fewer than five steps
  }
  for (size_t i = 0; i < branch_at.size(); ++i) {
    if (branch_at[i] > num_levels || branch_at[i] < 1)
      throw ConfigError(
          fmt::format("method.branch_at has {}, which is off the sampler's grid of {} steps (allowed 1..{})", branch_at[i], num_levels, num_levels));
    if (i > 0 && branch_at[i] >= branch_at[i - 1])
      throw ConfigError(fmt::format("method.branch_at must fall: {} comes after {}", branch_at[i], branch_at[i - 1]));
  }
  if (branch_at.front() != num_levels)
    throw ConfigError(
        fmt::format("method.branch_at starts with {}, but the root always branches: put the sampler's {} steps first", branch_at.front(), num_levels));
  branch_at.push_back(0);
  return branch_at;
}

double or_lambda(double value, double lambda) { return value < 0 ? lambda : value; }

void fill_tree_rules(SearchPlan& plan, const TreeConfig& config, int64_t num_levels) {
  plan.branch_levels = branch_levels(config.branch_at, num_levels);
  plan.widening = {config.widening.constant, config.widening.exponent, false};
  plan.backup.lambda = or_lambda(config.backup_lambda, config.lambda);
  plan.readout.lambda = or_lambda(config.readout_lambda, config.lambda);
  plan.batch_size = config.batch_size;
  plan.max_free_revisits = config.max_free_revisits;
  plan.device_latents_mib = config.device_latents_mib;
}

SearchPlan plan_of(const DtsConfig& config, int64_t num_levels) {
  SearchPlan plan;
  fill_tree_rules(plan, config, num_levels);
  plan.selection = {SelectionRule::Kind::kBoltzmann, or_lambda(config.selection_lambda, config.lambda), 0};
  return plan;
}

SearchPlan plan_of(const DtsUnbiasedConfig& config, int64_t num_levels) {
  SearchPlan plan;
  fill_tree_rules(plan, config, num_levels);
  plan.selection.kind = SelectionRule::Kind::kUniform;
  return plan;
}

SearchPlan plan_of(const DtsStarConfig& config, int64_t num_levels) {
  SearchPlan plan;
  fill_tree_rules(plan, config, num_levels);
  plan.selection = {SelectionRule::Kind::kUct, 0, config.c_uct};
  plan.backup.maximum = config.backup == "max";
  plan.readout.greedy = true;
  return plan;
}

SearchPlan plan_of(const BestOfNConfig& config, int64_t num_levels) {
  SearchPlan plan;
  plan.branch_levels = {num_levels, 0};
  plan.widening.always_expand = true;
  plan.batch_size = config.batch_size;
  plan.max_free_revisits = 1;
  plan.device_latents_mib = 8192;
  plan.groups = true;
  return plan;
}

std::vector<int32_t> leaves_of(const Tree& tree) {
  std::vector<int32_t> leaves;
  for (int32_t node = 0; node < tree.size(); ++node)
    if (tree.is_leaf(node) && !tree.open[node]) leaves.push_back(node);
  return leaves;
}

std::vector<int32_t> best_of_groups(const Tree& tree, int64_t count) {
  const std::vector<int32_t> leaves = leaves_of(tree);
  const int64_t size = static_cast<int64_t>(leaves.size()) / count;
  check(size >= 1, "best of groups: {} trajectories for {} groups", leaves.size(), count);
  std::vector<int32_t> chosen;
  for (int64_t group = 0; group < count; ++group) {
    const auto begin = leaves.begin() + group * size;
    chosen.push_back(*std::max_element(begin, begin + size, [&](int32_t a, int32_t b) { return tree.value[a] < tree.value[b]; }));
  }
  return chosen;
}

std::vector<int32_t> greedy_then_best(const Tree& tree, const ReadoutRule& rule, uint64_t seed, int64_t count) {
  std::vector<int32_t> chosen = draw_leaves(tree, rule, seed, 1);
  std::vector<int32_t> leaves = leaves_of(tree);
  std::stable_sort(leaves.begin(), leaves.end(), [&](int32_t a, int32_t b) { return tree.value[a] > tree.value[b]; });
  for (int32_t leaf : leaves)
    if (static_cast<int64_t>(chosen.size()) < count && leaf != chosen.front()) chosen.push_back(leaf);
  return chosen;
}

}  // namespace

SearchPlan make_plan(const AlignConfig& config, int64_t num_levels) {
  SearchPlan plan = std::visit([&](const auto& method) { return plan_of(method, num_levels); }, config.method);
  plan.method = std::visit([](const auto& method) { return std::string(method.kType); }, config.method);
  if (config.nfe < num_levels)
    throw ConfigError(
        fmt::format("nfe is {}, below one trajectory of {} steps: raise nfe to at least {} or lower sampler.num_steps", config.nfe, num_levels, num_levels));
  if (plan.groups && config.nfe / num_levels < config.num_samples)
    throw ConfigError(fmt::format("num_samples is {}, but best_of_n has only {} trajectories in nfe = {} ({} steps each): raise nfe to at least {}",
                                  config.num_samples, config.nfe / num_levels, config.nfe, num_levels, config.num_samples * num_levels));
  return plan;
}

std::vector<int32_t> choose_leaves(const Tree& tree, const SearchPlan& plan, uint64_t seed, int64_t count) {
  if (plan.groups) return best_of_groups(tree, count);
  if (plan.readout.greedy) return greedy_then_best(tree, plan.readout, seed, count);
  return draw_leaves(tree, plan.readout, seed, count);
}

}  // namespace linden
