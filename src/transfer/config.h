// The config of `linden transfer`.
#pragma once

#include <cstdint>
#include <string>

#include "core/config.h"
#include "core/run_config.h"
#include "diffusion/guidance.h"
#include "ops/feature_map.h"
#include "train/adamw.h"
#include "train/learning_rate.h"
#include "transfer/detectors.h"
#include "transfer/gate_config.h"
#include "transfer/gate_losses.h"
#include "transfer/matching_config.h"
#include "transfer/trajectory_source.h"

namespace linden {

// Before the first step each linear mixer learns to give what softmax gives in its place (phi_q and phi_k alone).
struct WarmStartConfig {
  int64_t steps = 200;          // 0: feature maps start as they are
  double learning_rate = 1e-2;  // Adam
};
void visit_fields(FieldVisitor& v, WarmStartConfig& c);

// Trajectories that are made while training goes on, for those who have no room for a folder of them: what the teacher's paths are
// (the rest as in TrajectoriesConfig), and how many are at hand.
struct RollingTransferConfig {
  std::string prompts;  // file, a prompt a line; empty: the trajectories are stored ones
  std::string negative_prompt;
  FlowSamplerConfig sampler = FlowUniPCConfig{};
  KeptStepsConfig keep;
  int64_t frames = 0, height = 0, width = 0;  // F, Y, X of the latents; 0: the model's
  std::string store = "x", dtype = "bf16";
  int64_t batch_size = 16;  // paths that are made at once
  RollingConfig buffer;     // its keys stand beside these
};
void visit_fields(FieldVisitor& v, RollingTransferConfig& c);

// The network that learns the student's own distribution, where the objective needs one (dmd, or adm with score extra).
struct CriticConfig {
  AdamWConfig optimizer = {.learning_rate = 1e-4, .beta1 = 0.9, .beta2 = 0.95};
  int64_t steps = 5;  // of the critic for each step of the student
};
void visit_fields(FieldVisitor& v, CriticConfig& c);

struct TransferConfig {
  RunConfig run;        // its keys stand at the top level
  std::string teacher;  // folder of a video model
  std::string weights = "folder";
  std::string trajectories;  // folder of `linden trajectories`; empty: `rolling`
  RollingTransferConfig rolling;
  FeatureMapConfig feature_map = HedgehogMapConfig{};
  GateConfig gates;
  AlphaScheduleConfig alpha;
  MatchingConfig matching = OnPolicyMatchingConfig{};
  GuidanceConfig guidance = {.convention = "u_plus", .scale = 3.5};  // of the trajectories, of the clips that are drawn
  std::string match = "unguided";                                    // what is matched: unguided (captions dropped now and then) or guided velocities
  double caption_dropout = 0.1;
  WarmStartConfig warm_start;
  CriticConfig critic;
  int64_t steps = 3000;
  int64_t batch_size = 48;
  int64_t accumulate = 1;  // parts of a batch that are computed one after another
  AdamWConfig optimizer = {.learning_rate = 3e-5, .beta1 = 0.9, .beta2 = 0.95, .epsilon = 1e-8, .weight_decay = 1e-4};
  LearningRateConfig learning_rate = {.schedule = "cosine", .warmup_steps = 300, .final_fraction = 0.0};
  double ema_decay = 0.999;
  double gradient_clip = 1.0;
  std::string precision = "bf16";
  std::string graphs = "auto";
  bool activation_checkpointing = false;
  int64_t device_mb = 16384;   // trajectories that take at most so much lie on the device
  int64_t num_held_out = 16;   // trajectories, the last ones, that training does not see
  int64_t num_points = 64;     // on them, at which the velocity gap is measured
  bool measure_layers = true;  // what it costs to convert each layer alone, before the first step
  bool time_stages = false;
  int64_t log_every = 50;
  int64_t checkpoint_every = 1000;
  int64_t keep_checkpoints = 2;
  int64_t strip_every = 500;  // steps between two strips of teacher and student; 0: at the end only
  int64_t num_strip_clips = 6;
  std::string compare;    // model folder whose clips stand in the last strip, too
  int64_t num_bins = 10;  // of the velocity gap by sigma
  DetectorConfig detectors;
  std::string export_dtype = "fp32";
};
void visit_fields(FieldVisitor& v, TransferConfig& c);

// What no single key can say. Throws ConfigError.
void require_consistent(const TransferConfig& config);

}  // namespace linden
