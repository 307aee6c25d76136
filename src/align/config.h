// Config of `linden align`: which method, which reward, which budget.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "align/reward_config.h"
#include "core/config.h"
#include "core/run_config.h"
#include "diffusion/executor.h"
#include "diffusion/sampler.h"
#include "models/prior.h"

namespace linden {

// Progressive widening: a node is full when |C| >= constant N^exponent.
struct WideningConfig {
  double constant = 2.0;
  double exponent = 0.8;
};
void visit_fields(FieldVisitor& v, WideningConfig& c);

// What every tree method has.
struct TreeConfig {
  WideningConfig widening;
  double lambda = 1.0;                 // inverse temperature: selection, backup and read-out unless set apart
  double backup_lambda = -1.0;         // below 0: lambda
  double readout_lambda = -1.0;        // below 0: lambda
  std::vector<int64_t> branch_at;      // remaining steps at which nodes branch, S first; empty: S, 0.8 S ... 0.2 S
  int64_t batch_size = 1;              // leaves in flight at once
  int64_t max_free_revisits = 100000;  // iterations in a row that end in an old leaf before the search stops
  int64_t device_latents_mib = 8192;   // latents beyond this go to the CPU
};

// Algorithm 1 as published: Boltzmann selection.
struct DtsConfig : TreeConfig {
  static constexpr const char* kType = "dts";
  double selection_lambda = -1.0;  // below 0: lambda
};
// linden's own: uniform selection while building, Boltzmann at read-out. Removes the bias that adaptive
// selection puts into the sample means (docs/tree_sampling.md).
struct DtsUnbiasedConfig : TreeConfig {
  static constexpr const char* kType = "dts_unbiased";
};
// Search: UCT selection, soft or max backup, greedy read-out.
struct DtsStarConfig : TreeConfig {
  static constexpr const char* kType = "dts_star";
  double c_uct = 0.1;
  std::string backup = "soft";
};
// Independent trajectories in num_samples equal groups, the best of each.
struct BestOfNConfig {
  static constexpr const char* kType = "best_of_n";
  int64_t batch_size = 1;
};
void visit_fields(FieldVisitor& v, DtsConfig& c);
void visit_fields(FieldVisitor& v, DtsUnbiasedConfig& c);
void visit_fields(FieldVisitor& v, DtsStarConfig& c);
void visit_fields(FieldVisitor& v, BestOfNConfig& c);

using MethodConfig = std::variant<DtsConfig, DtsUnbiasedConfig, DtsStarConfig, BestOfNConfig>;

// An independent reader of the samples: it never guides.
struct JudgeConfig {
  std::string folder;     // a classifier's folder; empty: no judge
  std::string reference;  // real samples that the Frechet distance is taken to; empty: none
  std::string held_out;   // other real samples: the distance that a perfect sampler would have
};
void visit_fields(FieldVisitor& v, JudgeConfig& c);

struct AlignConfig {
  RunConfig run;
  PriorConfig prior;
  PriorSamplerConfig sampler;
  ExecutorConfig executor;
  RewardConfig reward;
  MethodConfig method;
  JudgeConfig judge;
  int64_t nfe = 10000;  // budget in function evaluations; the batch that crosses it finishes
  int64_t num_samples = 64;
  double save_every_seconds = 300;
  bool save_latents = true;  // without them a run cannot be resumed
};
void visit_fields(FieldVisitor& v, AlignConfig& c);

}  // namespace linden
