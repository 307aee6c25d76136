#include "train/loop.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/nn/module.h>

#include "core/error.h"
#include "core/logging.h"
#include "core/progress.h"
#include "core/random.h"
#include "models/scheduler_file.h"
#include "models/video_model.h"
#include "train/autocast.h"
#include "train/batch_plan.h"
#include "train/loss_log.h"
#include "train/sample_grid.h"
#include "train/state.h"
#include "train/step_graph.h"

namespace linden {
namespace {

BatchPlanConfig plan_of(const TrainConfig& config, int64_t num_examples) {
  BatchPlanConfig plan;
  plan.seed = static_cast<uint64_t>(config.run.seed);
  plan.num_examples = num_examples;
  plan.batch_size = config.batch_size;
  plan.horizontal_flips = flips_images(config.data);
  if (const auto* noise = std::get_if<NoisePredictionTask>(&config.task)) plan.num_timesteps = noise->schedule.num_train_steps;
  if (const auto* classes = std::get_if<ClassificationTask>(&config.task)) plan.max_shift = classes->max_shift;
  if (const auto* flow = std::get_if<FlowMatchingTask>(&config.task)) {
    plan.num_timesteps = kFlowTimesteps;
    plan.caption_dropout = flow->caption_dropout;
  }
  return plan;
}

// All that a run of the loop works on.
class Training {
 public:
  Training(const TrainConfig& config, TrainingInputs inputs, RunDirectory& run, at::Device device)
      : config_(config),
        run_(run),
        device_(device),
        seed_(static_cast<uint64_t>(config.run.seed)),
        set_(inputs.training.to(device)),
        test_set_(inputs.test),
        trainee_(std::move(inputs.trainee)),
        weights_(on_device(trainee_.module)),
        optimizer_(config.optimizer, weights_.values),
        ema_(config.ema_decay, weights_.values),
        state_{weights_, optimizer_, ema_},
        plan_(plan_of(config, set_.size()), device),
        objective_(make_objective(config.task, trainee_, set_, seed_)),
        losses_(config.log_every, device),
        loss_(at::zeros({}, at::dtype(at::kFloat).device(device))),
        norm_(at::zeros_like(loss_)),
        graph_(config.graphs, device) {}

  TrainSummary run() {
    resume();
    if (done_.step > config_.steps)
      throw ConfigError(fmt::format("steps is {}, but this run has done {} already: give at least as many, or start another run without --resume",
                                    config_.steps, done_.step));
    log_info("{} {}: {} parameters, {} examples, {} steps an epoch, on {}", task_name(), model_type(config_.model), weights_.num_parameters(), set_.size(),
             plan_.steps_per_epoch(), device_.str());
    Progress progress("train", config_.steps, "step", done_.step);
    while (done_.step < config_.steps) {
      step(done_.step + 1);
      const bool last = done_.step == config_.steps;
      if (done_.step % config_.log_every == 0 || last) log();
      if (config_.sample_every > 0 && done_.step % config_.sample_every == 0 && !last) sample();
      if (done_.step % config_.checkpoint_every == 0 || last) save();
      progress.update(done_.step, note_);
      if (interrupt_requested() && !last) {
        save();
        throw Interrupted(fmt::format("step {} is saved; go on with --resume --output {}", done_.step, run_.path().string()));
      }
    }
    progress.finish();
    return finish();
  }

 private:
  std::shared_ptr<torch::nn::Module> on_device(const std::shared_ptr<torch::nn::Module>& module) const {
    module->to(device_);
    return module;
  }

  std::string task_name() const {
    return std::visit([](const auto& task) { return std::string(task.kType); }, config_.task);
  }

  void resume() {
    if (!run_.resumed()) return;
    if (const auto resumed = resume_train_state(run_.path(), state_)) {
      done_ = resumed->progress;
      losses_.restore(done_.pending_losses, done_.pending_norms);
      log_info("going on from {}", resumed->folder.string());
    }
    run_.cut_metrics_after(done_.step);
  }

  // One step: draw, forward, backward, clip, AdamW, average. Nothing here waits for the device.
  void step(int64_t number) {
    at::manual_seed(stream_key(seed_, Purpose::kTrainingNoise) + static_cast<uint64_t>(number));  // dropout, where there is any
    plan_.read(number, draw_);
    optimizer_.begin_step(number, learning_rate(number));
    ema_.begin_update(number);
    graph_.run([this] { update(); });
    losses_.add(loss_, norm_);
    done_.step = number;
    done_.examples_seen += config_.batch_size;
  }

  // The part of a step that is the same every time.
  void update() {
    weights_.gradients.zero_();
    at::Tensor loss;
    {
      const Bf16Scope bf16(config_.precision == "bf16", device_);
      loss = objective_->loss(draw_);
    }
    loss.backward();
    const at::Tensor norm = clip_gradient_norm(weights_.gradients, config_.gradient_clip);
    const at::NoGradGuard no_grad;
    optimizer_.apply(weights_.values, weights_.gradients);
    ema_.apply(weights_.values);
    loss_.copy_(loss);
    norm_.copy_(norm);
  }

  double learning_rate(int64_t step) const { return config_.optimizer.learning_rate * learning_rate_factor(config_.learning_rate, step, config_.steps); }

  void require_finite() const {
    const auto folder = newest_train_state(run_.path());
    losses_.require_finite(done_.step, folder ? "the last good state is " + folder->string() : "no state was saved before it");
  }

  void log() {
    require_finite();
    done_.last_loss = mean(losses_.losses());
    run_.log_metrics(done_.step, {{"loss", done_.last_loss}, {"gradient_norm", mean(losses_.norms())}, {"learning_rate", learning_rate(done_.step)}});
    note_ = fmt::format("loss {:.4f}", done_.last_loss);
    losses_.clear();
  }

  void save() {
    require_finite();
    done_.pending_losses = losses_.losses();
    done_.pending_norms = losses_.norms();
    save_train_state(run_.path(), state_, done_, config_.keep_checkpoints);
  }

  void sample() {
    if (std::holds_alternative<ClassificationTask>(config_.task)) return;
    const at::NoGradGuard no_grad;
    const UseAverage average(weights_.values, ema_);
    const auto* noise = std::get_if<NoisePredictionTask>(&config_.task);
    const auto file =
        noise ? write_sample_grid(run_.path(), done_.step, trainee_, *noise, device_, seed_, config_.num_grid_samples)
              : write_clip_grid(run_.path(), done_.step, trainee_, std::get<FlowMatchingTask>(config_.task), device_, seed_, config_.num_grid_samples);
    if (file.extension() == ".png") run_.log_image(done_.step, "samples", file);
  }

  // The averaged weights as they are exported, their test, and the model folder.
  TrainSummary finish() {
    sample();
    const at::NoGradGuard no_grad;
    const UseAverage average(weights_.values, ema_);
    const at::ScalarType dtype = config_.export_dtype == "fp16" ? at::kHalf : at::kFloat;
    weights_.values.copy_(weights_.values.to(dtype));
    TrainSummary summary{
        task_name(), model_type(config_.model), data_type(config_.data), done_.step, done_.examples_seen, weights_.num_parameters(), done_.last_loss, 0, 0};
    if (trainee_.logits) {
      summary.num_test_examples = test_set_.size();
      summary.test_accuracy = classification_accuracy(trainee_, test_set_.to(device_));
      log_info("test accuracy {:.2f} % on {} examples", 100 * summary.test_accuracy, summary.num_test_examples);
    }
    const auto folder = run_.file("model");
    trainee_.save(folder, dtype);
    if (const auto* task = std::get_if<NoisePredictionTask>(&config_.task)) write_scheduler_config(folder, task->schedule);
    if (const auto* task = std::get_if<FlowMatchingTask>(&config_.task)) write_flow_scheduler(folder, {.shift = task->shift});
    log_info("model written to {}", folder.string());
    return summary;
  }

  const TrainConfig& config_;
  RunDirectory& run_;
  at::Device device_;
  uint64_t seed_;
  TrainingSet set_;       // on the device
  TrainingSet test_set_;  // on the CPU
  Trainee trainee_;
  FlatParameters weights_;
  AdamW optimizer_;
  Ema ema_;
  TrainState state_;
  BatchPlan plan_;
  std::unique_ptr<Objective> objective_;
  LossLog losses_;
  StepDraw draw_;           // of the step, at fixed addresses
  at::Tensor loss_, norm_;  // of the step, scalars
  TrainProgress done_;
  std::string note_;
  StepGraph graph_;  // the last: its end waits for the device
};

}  // namespace

void visit_fields(FieldVisitor& v, TrainSummary& s) {
  visit(v, Field("task", "task.type"), s.task);
  visit(v, Field("model", "model.type"), s.model);
  visit(v, Field("data", "data.type"), s.data);
  visit(v, Field("steps", "optimiser steps"), s.steps);
  visit(v, Field("examples_seen", "training examples, with repetition"), s.examples_seen);
  visit(v, Field("num_parameters", "of the network"), s.num_parameters);
  visit(v, Field("final_loss", "mean over the last row of metrics.csv"), s.final_loss);
  if (s.num_test_examples == 0) return;
  visit(v, Field("num_test_examples", "test examples"), s.num_test_examples);
  visit(v, Field("test_accuracy", "share that is classified right"), s.test_accuracy);
}

TrainingInputs prepare_training(const TrainConfig& config) {
  require_consistent(config);
  const auto seed = static_cast<uint64_t>(config.run.seed);
  TrainingInputs inputs;
  inputs.training = load_training_set(config.data, seed);
  require_fitting_batch(config, inputs.training.size());
  if (std::holds_alternative<ClassificationTask>(config.task)) {
    require_fitting_classes(config, inputs.training.labels);
    inputs.test = load_test_set(config.data, seed);
  }
  inputs.trainee = make_trainee(config.model, example_shape(config.data), seed, config.channels_last);
  return inputs;
}

TrainSummary train(const TrainConfig& config, TrainingInputs inputs, RunDirectory& run, at::Device device) {
  return Training(config, std::move(inputs), run, device).run();
}

}  // namespace linden
