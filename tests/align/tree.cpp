// The verbs of the search tree on small trees made by hand, and the shape that the literal rules give.
#include "align/tree.h"

#include <algorithm>
#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <map>

#include "align/readout.h"

using namespace linden;

namespace {

const std::vector<int64_t> kFiveLevels = {50, 40, 30, 20, 10, 0};

// One iteration of Algorithm 1 with a given leaf reward; returns the leaf.
int32_t iterate(Tree& tree, const WideningRule& widening, const SelectionRule& rule, const BackupRule& backup_rule, double reward) {
  RandomStream random(3, Purpose::kSelection, static_cast<uint64_t>(tree.num_iterations++));
  const int32_t node = select(tree, widening, rule, backup_rule, random);
  count_visit(tree, node);
  if (tree.is_leaf(node)) return node;
  const int32_t leaf = expand(tree, node).back();
  backup(tree, leaf, reward, backup_rule);
  return leaf;
}

// A root with two inner children of two leaves each, values 1, 2 and 3, 5.
Tree five_node_tree(const BackupRule& rule) {
  Tree tree({2, 1, 0});
  for (double value : {1.0, 3.0}) {  // two chains from the root
    count_visit(tree, 0);
    backup(tree, expand(tree, 0).back(), value, rule);
  }
  for (int32_t inner : {1, 3}) {  // a second leaf under each inner node
    count_visit(tree, inner);
    backup(tree, expand(tree, inner).back(), inner == 1 ? 2.0 : 5.0, rule);
  }
  return tree;
}

double log_mean_exp(double a, double b, double lambda) { return std::log((std::exp(lambda * a) + std::exp(lambda * b)) / 2) / lambda; }

}  // namespace

TEST_CASE("backup is log-mean-exp over children, up to the root", "[unit]") {
  for (double lambda : {0.5, 1.0, 3.0}) {
    const Tree tree = five_node_tree({lambda, false});
    const double left = log_mean_exp(1, 2, lambda), right = log_mean_exp(3, 5, lambda);
    CHECK(tree.value[1] == Catch::Approx(left).epsilon(1e-12));
    CHECK(tree.value[3] == Catch::Approx(right).epsilon(1e-12));
    CHECK(tree.value[0] == Catch::Approx(log_mean_exp(left, right, lambda)).epsilon(1e-12));
  }
}

TEST_CASE("backup limits: infinite lambda is the maximum, zero the mean", "[unit]") {
  CHECK(five_node_tree({1.0, true}).value[0] == 5.0);
  CHECK(five_node_tree({0.0, false}).value[0] == Catch::Approx((1.5 + 4.0) / 2));
  CHECK(five_node_tree({200.0, false}).value[0] == Catch::Approx(5.0).margin(0.01));
  CHECK(five_node_tree({1e-6, false}).value[0] == Catch::Approx(2.75).margin(1e-4));
}

TEST_CASE("backup equals the soft value of a discrete chain whose children are all enumerated", "[truth]") {
  // Uniform transitions to 3 children at each of 2 steps; V = log E exp(r) exactly.
  Tree tree({2, 1, 0});
  std::vector<double> rewards;
  for (int i = 0; i < 3; ++i) {
    count_visit(tree, 0);
    const auto chain = expand(tree, 0);
    rewards.push_back(std::sin(7.0 * i));
    backup(tree, chain.back(), rewards.back(), {1.0, false});
    for (int j = 1; j < 3; ++j) {
      count_visit(tree, chain.front());
      rewards.push_back(std::sin(7.0 * i) + 2.0 * j);
      backup(tree, expand(tree, chain.front()).back(), rewards.back(), {1.0, false});
    }
  }
  double sum = 0;
  for (double r : rewards) sum += std::exp(r);
  CHECK(tree.value[0] == Catch::Approx(std::log(sum / 9.0)).epsilon(1e-12));
}

TEST_CASE("values of large magnitude neither overflow nor vanish", "[unit]") {
  Tree tree({1, 0});
  const BackupRule rule{1.0, false};
  for (double value : {-2000.0, 900.0, -900.0, 1500.0, 1499.0}) {
    count_visit(tree, 0);
    backup(tree, expand(tree, 0).back(), value, rule);
  }
  CHECK(tree.value[0] == Catch::Approx(1500.0 + std::log((1 + std::exp(-1.0)) / 5)).epsilon(1e-12));
}

TEST_CASE("one iteration leaves N = 2 on the path, 1 on the leaf, 2 at the root", "[unit]") {
  Tree tree(kFiveLevels);
  const int32_t leaf = iterate(tree, {2.0, 0.8, false}, {}, {}, 0.7);
  CHECK(tree.visits[0] == 2);
  CHECK(tree.visits[leaf] == 1);
  for (int32_t node = tree.parent[leaf]; node > 0; node = tree.parent[node]) CHECK(tree.visits[node] == 2);
  CHECK(tree.size() == 6);
  CHECK(tree.value[0] == 0.7);
}

TEST_CASE("root children are a function of the iteration count for C = 2, alpha = 0.8", "[truth]") {
  const std::map<int64_t, size_t> expected = {{20, 20}, {51, 47}, {105, 83}, {214, 147}, {548, 311}, {1113, 548}, {2259, 965}};
  for (auto kind : {SelectionRule::Kind::kBoltzmann, SelectionRule::Kind::kUniform}) {
    Tree tree(kFiveLevels);
    RandomStream rewards(9, Purpose::kEvaluation, 0);
    for (int64_t i = 1; i <= 2259; ++i) {
      iterate(tree, {2.0, 0.8, false}, {kind, 1.0, 0}, {}, rewards.normal());
      if (expected.count(i)) CHECK(tree.children[0].node.size() == expected.at(i));
    }
    CHECK(tree.num_leaves == tree.num_iterations - tree.num_revisits);
  }
}

TEST_CASE("open nodes count as visits and children, and nowhere else", "[unit]") {
  Tree tree({2, 1, 0});
  const BackupRule rule{1.0, false};
  iterate(tree, {2.0, 0.8, false}, {}, rule, 1.0);
  count_visit(tree, 0);
  const auto chain = expand(tree, 0);  // in flight
  CHECK(tree.children[0].node.size() == 2);
  CHECK(tree.visits[0] == 3);
  RandomStream random(1, Purpose::kSelection, 0);
  for (const SelectionRule& selection : {SelectionRule{SelectionRule::Kind::kBoltzmann, 1.0, 0}, SelectionRule{SelectionRule::Kind::kBoltzmann, 2.0, 0},
                                         SelectionRule{SelectionRule::Kind::kUniform, 0, 0}, SelectionRule{SelectionRule::Kind::kUct, 0, 100.0}})
    for (int i = 0; i < 50; ++i) CHECK(select_child(tree, 0, selection, rule, random) == 1);
  CHECK(tree.value[0] == 1.0);
  backup(tree, chain.back(), 3.0, rule);
  CHECK(tree.value[0] == Catch::Approx(log_mean_exp(1, 3, 1.0)));
}

TEST_CASE("a node whose children are all open is expanded although it is full", "[unit]") {
  Tree tree({1, 0});
  expand(tree, 0);
  RandomStream random(1, Purpose::kSelection, 0);
  CHECK(select(tree, {0.5, 0.1, false}, {}, {}, random) == 0);
}

TEST_CASE("abandon takes the newest open chains and their visits back", "[unit]") {
  Tree tree = five_node_tree({1.0, false});
  const Tree before = tree;
  std::vector<std::vector<int32_t>> chains;
  for (int32_t node : {0, 3, 1}) {
    count_visit(tree, node);
    chains.push_back(expand(tree, node));
  }
  abandon(tree, chains);
  CHECK(tree.parent == before.parent);
  CHECK(tree.visits == before.visits);
  CHECK(tree.value == before.value);
  for (size_t i = 0; i < tree.children.size(); ++i) {
    CHECK(tree.children[i].node == before.children[i].node);
    CHECK(tree.children[i].num_open == 0);
  }
}

TEST_CASE("Boltzmann selection follows exp(lambda v), UCT its bound", "[unit]") {
  const BackupRule rule{1.0, false};
  Tree tree({1, 0});
  for (double value : {0.0, 1.0, 2.0}) {
    count_visit(tree, 0);
    backup(tree, expand(tree, 0).back(), value, rule);
  }
  for (double lambda : {1.0, 0.3}) {  // the cached weights and the general path
    std::map<int32_t, double> share;
    for (int i = 0; i < 20000; ++i) {
      RandomStream random(5, Purpose::kSelection, static_cast<uint64_t>(i));
      share[select_child(tree, 0, {SelectionRule::Kind::kBoltzmann, lambda, 0}, rule, random)] += 1 / 20000.0;
    }
    const double total = 1 + std::exp(lambda) + std::exp(2 * lambda);
    CHECK(share[1] == Catch::Approx(1 / total).margin(0.012));
    CHECK(share[3] == Catch::Approx(std::exp(2 * lambda) / total).margin(0.012));
  }
  RandomStream random(5, Purpose::kSelection, 0);
  tree.visits = {4, 1, 1, 50};
  CHECK(select_child(tree, 0, {SelectionRule::Kind::kUct, 0, 0.0}, rule, random) == 3);  // greedy
  CHECK(select_child(tree, 0, {SelectionRule::Kind::kUct, 0, 5.0}, rule, random) == 2);  // 1 + 5 sqrt(log 4 / 1)
}

TEST_CASE("read-out weights sum to one and match the draws", "[unit]") {
  Tree tree(kFiveLevels);
  RandomStream rewards(2, Purpose::kEvaluation, 0);
  for (int i = 0; i < 300; ++i) iterate(tree, {2.0, 0.8, false}, {}, {}, rewards.normal());
  const auto weights = readout_weights(tree, {1.0, false});
  double sum = 0;
  for (int32_t node = 0; node < tree.size(); ++node)
    if (tree.is_leaf(node)) sum += weights[node];
  CHECK(sum == Catch::Approx(1.0).epsilon(1e-9));
  const auto draws = draw_leaves(tree, {1.0, false}, 11, 20000);
  std::map<int32_t, int> count;
  for (int32_t leaf : draws) ++count[leaf];
  const auto heaviest = std::max_element(count.begin(), count.end(), [](auto& a, auto& b) { return a.second < b.second; });
  CHECK(heaviest->second / 20000.0 == Catch::Approx(weights[heaviest->first]).margin(0.01));
  CHECK(static_cast<double>(count.size()) == Catch::Approx(expected_distinct(tree, weights, 20000)).epsilon(0.1));
}

TEST_CASE("greedy read-out goes to the child of largest value at every level", "[unit]") {
  const Tree tree = five_node_tree({1.0, false});
  const auto leaf = draw_leaves(tree, {1.0, true}, 0, 2);
  CHECK(leaf[0] == leaf[1]);
  CHECK(tree.value[leaf[0]] == 5.0);
}
