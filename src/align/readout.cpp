#include "align/readout.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace linden {
namespace {

std::vector<double> child_probabilities(const Tree& tree, const Tree::Children& children, const ReadoutRule& rule) {
  double largest = -std::numeric_limits<double>::infinity();
  for (int32_t child : children.node)
    if (!tree.open[child]) largest = std::max(largest, tree.value[child]);
  std::vector<double> probability(children.node.size(), 0.0);
  double sum = 0;
  for (size_t i = 0; i < probability.size(); ++i) {
    const int32_t child = children.node[i];
    if (tree.open[child]) continue;
    const double value = tree.value[child];
    if (rule.greedy) probability[i] = sum == 0 && value == largest ? 1.0 : 0.0;  // the first of equals
    else probability[i] = std::exp(rule.lambda * (value - largest));
    sum += probability[i];
  }
  for (double& p : probability) p /= sum;
  return probability;
}

}  // namespace

std::vector<int32_t> draw_leaves(const Tree& tree, const ReadoutRule& rule, uint64_t seed, int64_t count) {
  check(tree.num_leaves > 0, "draw_leaves: the tree has no evaluated leaf");
  std::vector<std::vector<double>> probability(tree.children.size());  // filled where a draw passes
  std::vector<int32_t> leaves;
  for (int64_t i = 0; i < count; ++i) {
    RandomStream random(seed, Purpose::kReadout, static_cast<uint64_t>(i));
    int32_t node = 0;
    while (!tree.is_leaf(node)) {
      auto& p = probability[node];
      if (p.empty()) p = child_probabilities(tree, tree.children[node], rule);
      double target = random.uniform();
      size_t chosen = p.size();
      for (size_t c = 0; c < p.size(); ++c) {
        if (p[c] <= 0) continue;
        chosen = c;
        if ((target -= p[c]) <= 0) break;
      }
      node = tree.children[node].node[chosen];
    }
    leaves.push_back(node);
  }
  return leaves;
}

std::vector<double> readout_weights(const Tree& tree, const ReadoutRule& rule) {
  std::vector<double> weight(static_cast<size_t>(tree.size()), 0.0);
  weight[0] = 1.0;
  for (int32_t node = 0; node < tree.size(); ++node) {  // parents come before their children
    const Tree::Children& children = tree.children[node];
    if (weight[node] <= 0 || static_cast<int64_t>(children.node.size()) == children.num_open) continue;
    const auto probability = child_probabilities(tree, children, rule);
    for (size_t i = 0; i < probability.size(); ++i) weight[children.node[i]] = weight[node] * probability[i];
  }
  return weight;
}

double expected_distinct(const Tree& tree, const std::vector<double>& weights, int64_t count) {
  double expected = 0;
  for (int32_t node = 0; node < tree.size(); ++node)
    if (tree.is_leaf(node) && weights[node] > 0) expected += weights[node] >= 1 ? 1.0 : -std::expm1(static_cast<double>(count) * std::log1p(-weights[node]));
  return expected;
}

}  // namespace linden
