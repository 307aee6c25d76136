// Reading samples out of a tree: Algorithm 2 of Diffusion Tree Sampling. No model calls.
#pragma once

#include <cstdint>
#include <vector>

#include "align/tree.h"

namespace linden {

struct ReadoutRule {
  double lambda = 1.0;  // P(child) proportional to exp(lambda v(child))
  bool greedy = false;  // argmax v at every level (DTS*)
};

// `count` leaves (node numbers), with replacement. Draw i uses stream (seed, kReadout, i).
std::vector<int32_t> draw_leaves(const Tree& tree, const ReadoutRule& rule, uint64_t seed, int64_t count);

// Exact probability of every node under the read-out, [S]: the product of the child probabilities on its path.
// Over the leaves it sums to 1.
std::vector<double> readout_weights(const Tree& tree, const ReadoutRule& rule);

// Expected number of distinct leaves in `count` draws with replacement: sum over leaves of 1 - (1 - w)^count.
double expected_distinct(const Tree& tree, const std::vector<double>& weights, int64_t count);

}  // namespace linden
