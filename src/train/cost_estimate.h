// What a training run will cost, from one forward pass of one example on the CPU: for --dry-run.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "train/config.h"

namespace linden {

struct CostEstimate {
  std::vector<std::pair<std::string, int64_t>> parameters;  // of each direct child module, in order
  int64_t num_parameters = 0;
  int64_t forward_flops = 0;     // of one example: convolutions and linear layers, 2 a multiply-add
  int64_t activation_bytes = 0;  // of one example: results of all operators that have a gradient, fp32
  int64_t state_bytes = 0;       // weights, gradients, two moments, average
  int64_t data_bytes = 0;
  int64_t step_bytes = 0;  // all together, at the config's batch
  double total_flops = 0;  // of the whole run; a backward pass counts as two forward ones
};
CostEstimate estimate_cost(const TrainConfig& config);
std::string cost_table(const TrainConfig& config, const CostEstimate& cost);

}  // namespace linden
