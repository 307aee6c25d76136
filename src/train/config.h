// The config of `linden train`.
#pragma once

#include <string>

#include "core/config.h"
#include "core/run_config.h"
#include "data/training_set.h"
#include "train/adamw.h"
#include "train/learning_rate.h"
#include "train/objective.h"
#include "train/trainee.h"

namespace linden {

struct TrainConfig {
  RunConfig run;  // its keys stand at the top level
  TaskConfig task;
  ModelConfig model;
  DataConfig data;
  int64_t steps = 10000;
  int64_t batch_size = 128;
  AdamWConfig optimizer;
  LearningRateConfig learning_rate;
  double ema_decay = 0.999;
  double gradient_clip = 1.0;      // largest 2-norm of the gradient; 0: no clipping
  std::string precision = "tf32";  // on a GPU; the CPU computes in fp32
  bool channels_last = true;
  std::string graphs = "auto";  // on a GPU a step is captured once and replayed
  int64_t log_every = 50;
  int64_t checkpoint_every = 1000;
  int64_t keep_checkpoints = 2;
  int64_t sample_every = 0;  // noise prediction, flow matching: steps between sample grids; 0: at the end only
  int64_t num_grid_samples = 64;
  std::string export_dtype = "fp32";
};
void visit_fields(FieldVisitor& v, TrainConfig& c);

// What no single key can say. Throws ConfigError: task, model and data that do not fit each other; a batch
// larger than the data set (of `num_examples`); labels [S] that the classifier has no class for.
void require_consistent(const TrainConfig& config);
void require_fitting_batch(const TrainConfig& config, int64_t num_examples);
void require_fitting_classes(const TrainConfig& config, const at::Tensor& labels);

}  // namespace linden
