// The training loop: any network, any objective.
#pragma once

#include <string>

#include "core/run_directory.h"
#include "train/config.h"

namespace linden {

// summary.json of a training run.
struct TrainSummary {
  std::string task, model, data;
  int64_t steps = 0, examples_seen = 0, num_parameters = 0;
  double final_loss = 0;          // mean over the last row of metrics.csv
  int64_t num_test_examples = 0;  // 0: not tested (noise prediction)
  double test_accuracy = 0;       // of the exported weights
};
void visit_fields(FieldVisitor& v, TrainSummary& s);

// What a run needs beside its config: made before the run's folder is, so that nothing is left behind when
// something is missing.
struct TrainingInputs {
  TrainingSet training;
  TrainingSet test;  // classification only
  Trainee trainee;
};
// On the CPU. Throws ConfigError/InputError (see config.h, load_training_set, make_trainee).
TrainingInputs prepare_training(const TrainConfig& config);

// Trains, or goes on where the run's newest state stands, until config.steps; leaves step_N/, sample grids and
// the finished model folder model/ (averaged weights) in the run's folder.
// A step is a pure function of (seed, step, the state before it): a resumed run equals an uninterrupted one.
// Throws InputError where a saved state is damaged; Interrupted after SIGINT/SIGTERM, the state saved;
// std::runtime_error when the loss is not finite, naming the step, the last state kept.
TrainSummary train(const TrainConfig& config, TrainingInputs inputs, RunDirectory& run, at::Device device);

}  // namespace linden
