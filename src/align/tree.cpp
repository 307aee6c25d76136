#include "align/tree.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace linden {
namespace {

constexpr double kRescaleAbove = 30.0;   // exponent of a cached weight at which the reference moves
constexpr double kRescaleBelow = 1e-12;  // sum of weights under which the reference moves
constexpr int kMaxRejections = 64;       // draws of an open child before falling back to a list

int32_t attach(Tree& tree, int32_t parent) {
  const auto node = static_cast<int32_t>(tree.size());
  const int32_t depth = tree.depth[parent] + 1;
  Tree::Children& siblings = tree.children[parent];
  tree.parent.push_back(parent);
  tree.depth.push_back(depth);
  tree.position.push_back(static_cast<int32_t>(siblings.node.size()));
  tree.value.push_back(0.0);
  tree.visits.push_back(depth == tree.leaf_depth() ? 1 : 2);  // created with 1; the backup of the same iteration adds 1 above leaves
  tree.open.push_back(1);
  tree.latent_row.push_back(-1);
  siblings.node.push_back(node);
  siblings.weight.push_back(0.0);
  ++siblings.num_open;
  tree.children.emplace_back();
  return node;
}

double largest_value(const Tree& tree, const Tree::Children& children) {
  double largest = -std::numeric_limits<double>::infinity();
  for (int32_t child : children.node)
    if (!tree.open[child]) largest = std::max(largest, tree.value[child]);
  return largest;
}

void rebuild(const Tree& tree, Tree::Children& children, double lambda) {
  children.reference = largest_value(tree, children);
  for (size_t i = 0; i < children.node.size(); ++i) {
    const int32_t child = children.node[i];
    children.weight[i] = tree.open[child] ? 0.0 : std::exp(lambda * (tree.value[child] - children.reference));
  }
}

double sum_of(const std::vector<double>& weights) {
  double sum = 0;
  for (double weight : weights) sum += weight;
  return sum;
}

bool uses_weights(const BackupRule& rule) { return !rule.maximum && rule.lambda != 0.0; }

// One child's value is new: refresh its cached weight and return the parent's value.
double pool_after_change(Tree& tree, int32_t parent, int32_t child, const BackupRule& rule) {
  Tree::Children& children = tree.children[parent];
  if (!uses_weights(rule)) {
    std::vector<double> values;
    values.reserve(children.node.size());
    for (int32_t c : children.node)
      if (!tree.open[c]) values.push_back(tree.value[c]);
    return pooled_value(values, rule);
  }
  const auto finished = static_cast<double>(static_cast<int64_t>(children.node.size()) - children.num_open);
  const double exponent = rule.lambda * (tree.value[child] - children.reference);
  if (finished == 1 || exponent > kRescaleAbove) rebuild(tree, children, rule.lambda);
  else children.weight[tree.position[child]] = std::exp(exponent);
  double sum = sum_of(children.weight);
  if (sum < kRescaleBelow * finished) {
    rebuild(tree, children, rule.lambda);
    sum = sum_of(children.weight);
  }
  return children.reference + std::log(sum / finished) / rule.lambda;
}

int32_t draw_by_weight(const std::vector<int32_t>& nodes, const std::vector<double>& weights, RandomStream& random) {
  const double target = random.uniform() * sum_of(weights);
  double running = 0;
  int32_t last = -1;
  for (size_t i = 0; i < nodes.size(); ++i) {
    if (weights[i] <= 0) continue;
    running += weights[i];
    last = nodes[i];
    if (running >= target) break;
  }
  return last;
}

int32_t draw_uniform(const Tree& tree, const Tree::Children& children, RandomStream& random) {
  for (int attempt = 0; attempt < kMaxRejections; ++attempt) {
    const int32_t child = children.node[random.below(children.node.size())];
    if (!tree.open[child]) return child;
  }
  std::vector<int32_t> finished;
  for (int32_t child : children.node)
    if (!tree.open[child]) finished.push_back(child);
  return finished[random.below(finished.size())];
}

int32_t best_by_uct(const Tree& tree, int32_t node, double exploration) {
  const double log_visits = std::log(static_cast<double>(tree.visits[node]));
  int32_t best = -1;
  double best_score = -std::numeric_limits<double>::infinity();
  for (int32_t child : tree.children[node].node) {
    if (tree.open[child]) continue;
    const double score = tree.value[child] + exploration * std::sqrt(log_visits / static_cast<double>(tree.visits[child]));
    if (best < 0 || score > best_score) {
      best = child;
      best_score = score;
    }
  }
  return best;
}

}  // namespace

Tree::Tree(std::vector<int64_t> branch_levels_) : branch_levels(std::move(branch_levels_)) {
  check(branch_levels.size() >= 2 && branch_levels.back() == 0, "Tree: branch levels must end with 0");
  parent.push_back(-1);
  depth.push_back(0);
  position.push_back(0);
  value.push_back(0.0);
  visits.push_back(1);
  open.push_back(0);
  latent_row.push_back(-1);
  children.emplace_back();
}

bool is_full(const Tree& tree, int32_t node, const WideningRule& rule) {
  if (rule.always_expand) return false;
  return static_cast<double>(tree.children[node].node.size()) >= rule.constant * std::pow(static_cast<double>(tree.visits[node]), rule.exponent);
}

int32_t select_child(const Tree& tree, int32_t node, const SelectionRule& rule, const BackupRule& backup, RandomStream& random) {
  const Tree::Children& children = tree.children[node];
  if (static_cast<int64_t>(children.node.size()) == children.num_open) return -1;
  if (rule.kind == SelectionRule::Kind::kUct) return best_by_uct(tree, node, rule.exploration);
  if (rule.kind == SelectionRule::Kind::kUniform || rule.lambda == 0.0) return draw_uniform(tree, children, random);
  if (uses_weights(backup) && rule.lambda == backup.lambda) return draw_by_weight(children.node, children.weight, random);
  const double largest = largest_value(tree, children);
  std::vector<double> weights(children.node.size(), 0.0);
  for (size_t i = 0; i < weights.size(); ++i)
    if (!tree.open[children.node[i]]) weights[i] = std::exp(rule.lambda * (tree.value[children.node[i]] - largest));
  return draw_by_weight(children.node, weights, random);
}

int32_t select(const Tree& tree, const WideningRule& widening, const SelectionRule& rule, const BackupRule& backup, RandomStream& random) {
  int32_t node = 0;
  while (!tree.is_leaf(node) && is_full(tree, node, widening)) {
    const int32_t child = select_child(tree, node, rule, backup, random);
    if (child < 0) break;  // every child is in flight: expand here
    node = child;
  }
  return node;
}

void count_visit(Tree& tree, int32_t node) {
  if (tree.is_leaf(node)) node = tree.parent[node];
  for (; node >= 0; node = tree.parent[node]) ++tree.visits[node];
}

std::vector<int32_t> expand(Tree& tree, int32_t node) {
  check(!tree.is_leaf(node), "expand: node {} is a leaf", node);
  std::vector<int32_t> chain;
  while (!tree.is_leaf(node)) chain.push_back(node = attach(tree, node));
  return chain;
}

void backup(Tree& tree, int32_t leaf, double value, const BackupRule& rule) {
  check(tree.is_leaf(leaf) && tree.open[leaf], "backup: node {} is not an open leaf", leaf);
  ++tree.num_leaves;
  for (int32_t node = leaf; node > 0; node = tree.parent[node]) {
    const int32_t parent = tree.parent[node];
    tree.value[node] = value;
    if (tree.open[node]) {
      tree.open[node] = 0;
      --tree.children[parent].num_open;
    }
    value = pool_after_change(tree, parent, node, rule);
  }
  tree.value[0] = value;
}

void abandon(Tree& tree, const std::vector<std::vector<int32_t>>& chains) {
  for (auto chain = chains.rbegin(); chain != chains.rend(); ++chain) {
    for (auto node = chain->rbegin(); node != chain->rend(); ++node) {
      check(*node == tree.size() - 1 && tree.open[*node], "abandon: node {} is not the newest open node", *node);
      Tree::Children& siblings = tree.children[tree.parent[*node]];
      siblings.node.pop_back();
      siblings.weight.pop_back();
      --siblings.num_open;
      tree.children.pop_back();
      tree.latent_row.pop_back();
      tree.open.pop_back();
      tree.visits.pop_back();
      tree.value.pop_back();
      tree.position.pop_back();
      tree.depth.pop_back();
      if (node + 1 == chain->rend())
        for (int32_t up = tree.parent.back(); up >= 0; up = tree.parent[up]) --tree.visits[up];
      tree.parent.pop_back();
    }
  }
}

double pooled_value(const std::vector<double>& values, const BackupRule& rule) {
  check(!values.empty(), "pooled_value: no finished children");
  const double largest = *std::max_element(values.begin(), values.end());
  if (rule.maximum) return largest;
  double sum = 0;
  if (rule.lambda == 0.0) {
    for (double value : values) sum += value;
    return sum / static_cast<double>(values.size());
  }
  for (double value : values) sum += std::exp(rule.lambda * (value - largest));
  return largest + std::log(sum / static_cast<double>(values.size())) / rule.lambda;
}

void restore_weights(Tree& tree, const BackupRule& rule) {
  if (!uses_weights(rule)) return;
  for (Tree::Children& children : tree.children)
    for (size_t i = 0; i < children.node.size(); ++i)
      children.weight[i] = tree.open[children.node[i]] ? 0.0 : std::exp(rule.lambda * (tree.value[children.node[i]] - children.reference));
}

}  // namespace linden
