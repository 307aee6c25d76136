// The gates of selective transfer: how many layers become linear, which may, and how the scores r are trained
// (LinVideo, arXiv 2510.08318, Eq. 8-10).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/config.h"

namespace linden {

struct GateConfig {
  int64_t num_linear = 6;               // layers that become linear
  std::string selection = "learned";    // learned: by gates; first, last, random, heuristic, listed: fixed from the start
  std::vector<int64_t> layers;          // "listed": these, counted from 0
  std::vector<int64_t> forbidden;       // stay softmax
  std::string parametrisation = "raw";  // raw: r itself, clamped; sigmoid: AdaRound's rectified sigmoid
  double start = 0.99;                  // r before the first step
  double learning_rate = 3e-3;          // of r
  double constraint_weight = 0.01;      // the paper's lambda is one for both
  double regulariser_weight = 0.01;
  double commit_at = 0.6;  // share of the run after which the num_linear smallest r become 0, the rest 1
};
void visit_fields(FieldVisitor& v, GateConfig& c);

// The layers that a fixed selection makes linear, rising; empty for "learned" and for "heuristic", which needs to measure. num_layers: of the
// teacher. Throws ConfigError: num_linear beyond the layers that may become linear, a layer that there is not, a list of another length.
std::vector<int64_t> fixed_selection(const GateConfig& config, int64_t num_layers, uint64_t seed);
// Whether each layer may become linear. Throws ConfigError as above.
std::vector<bool> allowed_layers(const GateConfig& config, int64_t num_layers);

}  // namespace linden
