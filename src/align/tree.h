// The search tree: columns indexed by node number, and free functions on (tree, node) that are its verbs.
//
// A node is a state at a branch level. Node 0 is the dummy root above the initial draw; depth d in
// 1 .. D has level branch_levels[d] (branch_levels[D] = 0: leaves are finished samples). Values, visit
// counts and backups follow Algorithm 1 of Diffusion Tree Sampling (arXiv 2506.20701, section 4.2 and app. E):
//     v(parent) = 1/lambda log( 1/|C| sum_c exp(lambda v(c)) ),  N(parent) += 1,
// new interior nodes end an iteration with N = 2, leaves with N = 1, the root starts at N = 1.
//
// A node whose rollout is still in flight ("open") counts as a visit and towards |C| in the widening test,
// and nowhere else: not in Boltzmann weights, not in the UCT maximum, not in log-mean-exp.
//
// S: number of nodes.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "core/random.h"

namespace linden {

struct Tree {
  struct Children {
    std::vector<int32_t> node;
    // exp(backup_lambda (v - reference)) of each child, 0 while it is open: selection and backup at
    // backup_lambda read these instead of calling exp for every child.
    std::vector<double> weight;
    double reference = 0;
    int64_t num_open = 0;
  };

  explicit Tree(std::vector<int64_t> branch_levels_);
  int64_t size() const { return static_cast<int64_t>(parent.size()); }
  int64_t leaf_depth() const { return static_cast<int64_t>(branch_levels.size()) - 1; }
  bool is_leaf(int32_t node) const { return depth[node] == leaf_depth(); }

  std::vector<int64_t> branch_levels;  // [D+1]; [0] and [1 .. D-1]: levels where branching happens, [D] = 0
  std::vector<int32_t> parent;         // [S], -1 for the root
  std::vector<int32_t> depth;          // [S]
  std::vector<int32_t> position;       // [S] place among the parent's children
  std::vector<double> value;           // [S] soft value estimate; 0 while open
  std::vector<int64_t> visits;         // [S] N
  std::vector<uint8_t> open;           // [S] 1: rollout in flight
  std::vector<int64_t> latent_row;     // [S] row in the latent store, -1 for the root and for open nodes
  std::vector<Children> children;      // [S]
  int64_t num_iterations = 0;          // of Algorithm 1, revisits among them
  int64_t num_revisits = 0;            // iterations that ended in an old leaf: no NFE, no reward call
  int64_t num_leaves = 0;              // evaluated leaves
};

// Which child to descend to.
struct SelectionRule {
  enum class Kind { kBoltzmann, kUct, kUniform } kind = Kind::kBoltzmann;
  double lambda = 1.0;       // kBoltzmann: P(c) proportional to exp(lambda v(c)); 0 is uniform
  double exploration = 0.1;  // kUct: v(c) + exploration sqrt(log N / N(c))
};

// How values go up. lambda -> infinity is the maximum, lambda = 0 the mean.
struct BackupRule {
  double lambda = 1.0;
  bool maximum = false;
};

struct WideningRule {  // full when |C| >= constant N^exponent (real-valued comparison)
  double constant = 2.0;
  double exponent = 0.8;
  bool always_expand = false;  // independent trajectories: the root is never full
};

bool is_full(const Tree& tree, int32_t node, const WideningRule& rule);
// A finished child of `node`, or -1 if every child is open.
int32_t select_child(const Tree& tree, int32_t node, const SelectionRule& rule, const BackupRule& backup, RandomStream& random);
// The node where one iteration's descent ends: not full, or a leaf, or without finished children.
int32_t select(const Tree& tree, const WideningRule& widening, const SelectionRule& rule, const BackupRule& backup, RandomStream& random);
// Adds 1 to N of every interior node from `node` (a leaf keeps N = 1) up to the root.
void count_visit(Tree& tree, int32_t node);
// Attaches an open chain below `node` down to a leaf; returns its nodes, top first. Each has its final N.
std::vector<int32_t> expand(Tree& tree, int32_t node);
// The leaf's value is known: closes the chain and backs values up to the root.
void backup(Tree& tree, int32_t leaf, double value, const BackupRule& rule);
// Takes back every open chain and its visits, newest first: the tree is as before they were selected.
void abandon(Tree& tree, const std::vector<std::vector<int32_t>>& chains);

// Value of a parent from scratch; used by tests and after loading. Finished children only.
double pooled_value(const std::vector<double>& values, const BackupRule& rule);
// Recomputes the cached weights from values and references, bit-equal to those of the search that saved them.
void restore_weights(Tree& tree, const BackupRule& rule);

}  // namespace linden
