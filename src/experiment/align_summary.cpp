#include "experiment/align_summary.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "align/readout.h"
#include "evaluate/distances.h"
#include "evaluate/sample_statistics.h"
#include "models/closed_form.h"
#include "models/model_folder.h"

namespace linden {
namespace {

constexpr int64_t kMaxMmdSamples = 5000;

void fill_counts(AlignSummary& out, const SearchPlan& plan, const SearchState& state, const std::vector<int32_t>& leaves) {
  const Tree& tree = state.tree;
  out.method = plan.method;
  out.nfe = state.calls.nfe;
  out.network_calls = state.calls.network_calls;
  out.reward_calls = state.reward_calls;
  out.root_value = tree.value[0];
  out.num_leaves = tree.num_leaves;
  out.num_nodes = tree.size();
  out.num_iterations = tree.num_iterations;
  out.num_revisits = tree.num_revisits;
  out.num_samples = static_cast<int64_t>(leaves.size());
  out.num_distinct = static_cast<int64_t>(std::set<int32_t>(leaves.begin(), leaves.end()).size());
  out.best_reward = -std::numeric_limits<double>::infinity();
  for (int32_t node = 0; node < tree.size(); ++node)
    if (tree.is_leaf(node)) out.best_reward = std::max(out.best_reward, tree.value[node]);
  for (int32_t leaf : leaves) out.mean_reward += tree.value[leaf] / static_cast<double>(leaves.size());
  if (plan.readout.greedy) out.greedy_reward = tree.value[leaves.front()];
  out.search_seconds = state.seconds;
  out.nfe_per_second = static_cast<double>(state.calls.nfe) / std::max(state.seconds, 1e-9);
  out.bookkeeping_share = state.bookkeeping_seconds / std::max(state.seconds, 1e-9);
  out.branch_levels = tree.branch_levels;
  out.expansions = state.expansions;
}

void fill_judge(AlignSummary& out, const AlignConfig& config, const at::Tensor& samples) {
  if (config.judge.folder.empty()) return;
  const JudgeReading reading = read_with_judge(config.judge.folder, samples, samples.device());
  out.judge = config.judge.folder;
  out.features = model_class_name(config.judge.folder);
  const std::vector<int64_t> classes = asked_classes(config.reward);
  if (!classes.empty()) out.judged_share = class_share(reading.logits, classes);
  if (samples.size(0) > 1) out.diversity = diversity(reading.features);
  out.frechet = judged_distances(config.judge, reading.features, classes, samples.device());
}

// Read-out mass of each mode: every leaf counts for its nearest mode, by its exact weight.
std::vector<double> masses_by_mode(const SearchState& state, const std::vector<double>& weights, const std::vector<Point2>& centres) {
  std::vector<double> mass(centres.size(), 0.0);
  const at::Tensor latents = state.latents.all_on_cpu();
  const auto point = latents.accessor<float, 2>();
  for (int32_t node = 0; node < state.tree.size(); ++node) {
    if (!state.tree.is_leaf(node) || weights[node] <= 0) continue;
    const double x = point[state.tree.latent_row[node]][0], y = point[state.tree.latent_row[node]][1];
    size_t nearest = 0;
    double best = std::numeric_limits<double>::infinity();
    for (size_t k = 0; k < centres.size(); ++k) {
      const double distance = (x - centres[k][0]) * (x - centres[k][0]) + (y - centres[k][1]) * (y - centres[k][1]);
      if (distance < best) {
        best = distance;
        nearest = k;
      }
    }
    mass[nearest] += weights[node];
  }
  return mass;
}

std::vector<Point2> square_centres() {
  std::vector<Point2> centres;
  for (const Point2& corner : checkerboard_squares()) centres.push_back({corner[0] + 1, corner[1] + 1});
  return centres;
}

void fill_closed_form(AlignSummary& out, const AlignConfig& config, const SearchPlan& plan, const SearchState& state, const Reward& reward,
                      const at::Tensor& samples) {
  const auto exact = reward.exact_root_value(plan.backup.lambda);
  if (exact) out.exact_root_value = *exact;
  const int64_t count = std::min(kMaxMmdSamples, samples.size(0));
  at::Tensor target;
  std::vector<Point2> centres;
  if (const auto* mixture = std::get_if<MixtureRewardConfig>(&config.reward)) {
    std::vector<double> weights;
    for (int64_t i = 1; i <= mixture->num_modes; ++i) weights.push_back(std::exp(mixture->growth * static_cast<double>(i)));
    const MixtureReward truth(ring_of_modes(mixture->num_modes, mixture->radius, mixture->sigma), weights);
    centres = truth.modes().means;
    out.target_masses = truth.target_masses();
    target = truth.sample_target(count, static_cast<uint64_t>(config.run.seed));
  } else if (std::holds_alternative<SquaredNormRewardConfig>(config.reward) && std::holds_alternative<CheckerboardPriorConfig>(config.prior)) {
    const CheckerboardReward truth;
    centres = square_centres();
    out.target_masses = truth.target_masses();
    target = truth.sample_target(count, static_cast<uint64_t>(config.run.seed));
  } else {
    return;
  }
  if (!plan.groups && !plan.readout.greedy) out.mode_masses = masses_by_mode(state, readout_weights(state.tree, plan.readout), centres);
  if (count > 1) out.mmd = mmd_rbf_five(samples.narrow(0, 0, count).cpu(), target);
}

}  // namespace

void visit_fields(FieldVisitor& v, AlignSummary& c) {
  visit(v, Field("method", "method.type"), c.method);
  visit(v, Field("reward", "what was asked"), c.reward);
  visit(v, Field("stopped_by", "budget, or free revisits"), c.stopped_by);
  visit(v, Field("nfe", "function evaluations of the prior"), c.nfe);
  visit(v, Field("network_calls", "network calls, guidance counted apart"), c.network_calls);
  visit(v, Field("reward_calls", "rewards computed"), c.reward_calls);
  visit(v, Field("root_value", "soft value of the root"), c.root_value);
  visit(v, Field("exact_root_value", "where it is known in closed form"), c.exact_root_value);
  visit(v, Field("mean_reward", "of the reported samples"), c.mean_reward);
  visit(v, Field("best_reward", "of any leaf"), c.best_reward);
  visit(v, Field("greedy_reward", "of the Algorithm 2 leaf of a greedy read-out"), c.greedy_reward);
  visit(v, Field("num_leaves", "evaluated leaves"), c.num_leaves);
  visit(v, Field("num_nodes", "nodes"), c.num_nodes);
  visit(v, Field("num_iterations", "iterations of Algorithm 1"), c.num_iterations);
  visit(v, Field("num_revisits", "iterations that ended in an old leaf"), c.num_revisits);
  visit(v, Field("num_samples", "reported samples"), c.num_samples);
  visit(v, Field("num_distinct", "distinct leaves among them"), c.num_distinct);
  visit(v, Field("effective_samples", "1 / sum of squared read-out weights"), c.effective_samples);
  visit(v, Field("search_seconds", "wall time of the search loop"), c.search_seconds);
  visit(v, Field("nfe_per_second", "of the search loop"), c.nfe_per_second);
  visit(v, Field("bookkeeping_share", "share of the loop's time outside the prior and the reward"), c.bookkeeping_share);
  visit(v, Field("branch_levels", "remaining steps by depth"), c.branch_levels);
  visit(v, Field("expansions", "by depth of the expanded node"), c.expansions);
  visit(v, Field("judge", "folder of the judge"), c.judge);
  visit(v, Field("features", "whose features the diversity stands on"), c.features);
  visit(v, Field("judged_share", "share of the samples that the judge reads as asked"), c.judged_share);
  visit(v, Field("diversity", "mean pairwise cosine distance of the judge's features"), c.diversity);
  visit(v, Field("frechet_distance", "to judge.reference, on the judge's features"), c.frechet.samples);
  visit(v, Field("real_frechet_distance", "the same for as many samples of judge.held_out"), c.frechet.real);
  visit(v, Field("mode_masses", "exact read-out mass of each mode"), c.mode_masses);
  visit(v, Field("target_masses", "mass of each mode in the target"), c.target_masses);
  visit(v, Field("mmd", "MMD^2, 5-bandwidth RBF, to as many exact target draws"), c.mmd);
}

AlignSummary summarize(const AlignConfig& config, const SearchPlan& plan, const SearchState& state, const Reward& reward, const std::vector<int32_t>& leaves,
                       const at::Tensor& samples) {
  AlignSummary out;
  fill_counts(out, plan, state, leaves);
  out.reward = reward.description();
  if (!plan.groups && !plan.readout.greedy) {
    double squares = 0;
    const std::vector<double> weights = readout_weights(state.tree, plan.readout);
    for (int32_t node = 0; node < state.tree.size(); ++node)
      if (state.tree.is_leaf(node)) squares += weights[node] * weights[node];
    out.effective_samples = 1.0 / squares;
  }
  fill_judge(out, config, samples);
  fill_closed_form(out, config, plan, state, reward, samples);
  return out;
}

}  // namespace linden
