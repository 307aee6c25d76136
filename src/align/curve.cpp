#include "align/curve.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/files.h"
#include "io/svg.h"

namespace linden {
namespace {

constexpr size_t kScalars = 10;
constexpr double kMaxCount = 9007199254740992.0;  // 2^53: up to here a double holds every integer

// Columns of a saved point that count something; see flat().
bool is_count(size_t column) { return column <= 2 || column == 8 || column >= kScalars; }

// Expected reward of a reported sample: under the read-out's weights, or the mean of the groups' best.
void fill_sample_statistics(CurvePoint& point, const Tree& tree, const SearchPlan& plan, uint64_t seed, int64_t num_samples) {
  if (plan.groups) {
    const int64_t groups = std::min(num_samples, tree.num_leaves);
    for (int32_t leaf : choose_leaves(tree, plan, seed, groups)) point.mean_reward += tree.value[leaf] / static_cast<double>(groups);
    point.num_distinct = static_cast<double>(groups);
    return;
  }
  if (plan.readout.greedy) {
    point.mean_reward = tree.value[draw_leaves(tree, plan.readout, seed, 1).front()];
    point.num_distinct = static_cast<double>(std::min(num_samples, tree.num_leaves));
    return;
  }
  const std::vector<double> weights = readout_weights(tree, plan.readout);
  for (int32_t node = 0; node < tree.size(); ++node)
    if (tree.is_leaf(node)) point.mean_reward += weights[node] * tree.value[node];
  point.num_distinct = expected_distinct(tree, weights, num_samples);
}

}  // namespace

CurvePoint curve_point(const SearchState& state, const SearchPlan& plan, uint64_t seed, int64_t num_samples) {
  const Tree& tree = state.tree;
  CurvePoint point;
  point.nfe = state.calls.nfe;
  point.network_calls = state.calls.network_calls;
  point.reward_calls = state.reward_calls;
  point.seconds = state.seconds;
  point.root_value = tree.value[0];
  point.num_leaves = tree.num_leaves;
  point.best_reward = -std::numeric_limits<double>::infinity();
  for (int32_t node = 0; node < tree.size(); ++node) {
    if (!tree.is_leaf(node)) continue;
    point.best_reward = std::max(point.best_reward, tree.value[node]);
    point.mean_leaf_reward += tree.value[node] / static_cast<double>(tree.num_leaves);
  }
  fill_sample_statistics(point, tree, plan, seed, num_samples);
  point.expansions = state.expansions;
  return point;
}

void AnytimeCurve::add(CurvePoint point) {
  next_ = std::max(point.nfe + 1, static_cast<int64_t>(std::ceil(static_cast<double>(point.nfe) * 1.1)));
  points_.push_back(std::move(point));
}

void AnytimeCurve::write_csv(const std::filesystem::path& file) const {
  std::string text = "nfe,network_calls,reward_calls,seconds,root_value,best_reward,mean_reward,mean_leaf_reward,num_leaves,num_distinct";
  for (size_t d = 0; d + 1 < branch_levels_.size(); ++d) text += d == 0 ? std::string(",expansions_root") : fmt::format(",expansions_{}", branch_levels_[d]);
  text += "\n";
  for (const CurvePoint& p : points_) {
    text += fmt::format("{},{},{},{:.4f},{:.9g},{:.9g},{:.9g},{:.9g},{},{:.6g}", p.nfe, p.network_calls, p.reward_calls, p.seconds, p.root_value, p.best_reward,
                        p.mean_reward, p.mean_leaf_reward, p.num_leaves, p.num_distinct);
    for (int64_t count : p.expansions) text += fmt::format(",{}", count);
    text += "\n";
  }
  write_file_atomically(file, text);
}

void AnytimeCurve::write_svg(const std::filesystem::path& file) const {
  CurveFigure figure;
  figure.title = "Anytime curve";
  figure.x = {"function evaluations (NFE)", true};
  figure.y = {"reward", false};
  const auto series = [&](const char* label, double CurvePoint::*member) {
    Curve curve;
    curve.label = label;
    for (const CurvePoint& p : points_) {
      curve.x.push_back(static_cast<double>(p.nfe));
      curve.y.push_back(p.*member);
    }
    figure.curves.push_back(std::move(curve));
  };
  series("root value", &CurvePoint::root_value);
  series("best reward", &CurvePoint::best_reward);
  series("mean reward of a sample", &CurvePoint::mean_reward);
  write_file_atomically(file, curves_svg(figure));
}

std::vector<double> AnytimeCurve::flat() const {
  std::vector<double> out;
  for (const CurvePoint& p : points_) {
    for (double value : {static_cast<double>(p.nfe), static_cast<double>(p.network_calls), static_cast<double>(p.reward_calls), p.seconds, p.root_value,
                         p.best_reward, p.mean_reward, p.mean_leaf_reward, static_cast<double>(p.num_leaves), p.num_distinct})
      out.push_back(value);
    for (int64_t count : p.expansions) out.push_back(static_cast<double>(count));
  }
  return out;
}

void AnytimeCurve::restore(const std::vector<double>& flat, const std::string& origin) {
  const size_t width = kScalars + branch_levels_.size() - 1;
  check_input(flat.size() % width == 0, "{}: the saved curve has {} numbers, not a multiple of {}: the file is damaged", origin, flat.size(), width);
  for (size_t i = 0; i < flat.size(); ++i) {
    const bool possible = std::isfinite(flat[i]) && (!is_count(i % width) || (flat[i] >= 0 && flat[i] <= kMaxCount));
    check_input(possible, "{}: the saved curve has {} in column {} of point {}: the file is damaged", origin, flat[i], i % width, i / width);
  }
  points_.clear();
  for (size_t first = 0; first < flat.size(); first += width) {
    const double* v = flat.data() + first;
    CurvePoint p;
    p.nfe = std::llround(v[0]);
    p.network_calls = std::llround(v[1]);
    p.reward_calls = std::llround(v[2]);
    p.seconds = v[3];
    p.root_value = v[4];
    p.best_reward = v[5];
    p.mean_reward = v[6];
    p.mean_leaf_reward = v[7];
    p.num_leaves = std::llround(v[8]);
    p.num_distinct = v[9];
    for (size_t d = kScalars; d < width; ++d) p.expansions.push_back(std::llround(v[d]));
    add(std::move(p));
  }
}

}  // namespace linden
