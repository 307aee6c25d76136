#include "train/config.h"

#include <ATen/ATen.h>

#include "core/error.h"

namespace linden {

void visit_fields(FieldVisitor& v, TrainConfig& c) {
  visit_run_fields(v, c.run);
  visit(v, Field("task", "what is learned"), c.task);
  visit(v, Field("model", "the network"), c.model);
  visit(v, Field("data", "what it learns from"), c.data);
  visit(v, Field("steps", "optimiser steps in all; changing it bends a cosine or linear schedule from there on").at_least(1).changeable(), c.steps);
  visit(v, Field("batch_size", "examples a step").at_least(1), c.batch_size);
  visit(v, Field("optimizer", "AdamW"), c.optimizer);
  visit(v, Field("learning_rate", "how the rate of the optimizer changes with the step"), c.learning_rate);
  visit(v, Field("ema_decay", "decay of the average of the weights, which is what is kept; warmed up; 0: no average").between(0, 0.9999999), c.ema_decay);
  visit(v, Field("gradient_clip", "largest 2-norm of the gradient; 0: no clipping").at_least(0), c.gradient_clip);
  visit(v, Field("precision", "on a GPU: fp32 exact, tf32 (fp32 with 10-bit products), or bf16 (autocast)").one_of({"fp32", "tf32", "bf16"}), c.precision);
  visit(v, Field("channels_last", "memory layout of images and convolutions"), c.channels_last);
  visit(v,
        Field("graphs", "auto: on a GPU a step is captured as a CUDA graph and replayed, which small networks gain most by; off: every launch apart")
            .one_of({"auto", "off"})
            .changeable(),
        c.graphs);
  visit(v, Field("log_every", "steps between two rows of metrics.csv").between(1, 100000), c.log_every);
  visit(v, Field("checkpoint_every", "steps between two saved states").at_least(1).changeable(), c.checkpoint_every);
  visit(v, Field("keep_checkpoints", "saved states that are kept").at_least(1).changeable(), c.keep_checkpoints);
  visit(v, Field("sample_every", "noise prediction and flow matching: steps between two sample grids; 0: one at the end").at_least(0).changeable(),
        c.sample_every);
  visit(v, Field("num_grid_samples", "samples in a grid").between(1, 4096).changeable(), c.num_grid_samples);
  visit(v, Field("export_dtype", "dtype of the finished model folder").one_of({"fp32", "fp16"}).changeable(), c.export_dtype);
}

namespace {

const char* models_for(const std::string& task) {
  if (task == FlowMatchingTask::kType) return "a flow is learned by video_dit";
  return task == NoisePredictionTask::kType ? "noise is predicted by unet2d or mlp" : "classes are told apart by digit_classifier or digit_judge";
}

}  // namespace

void require_consistent(const TrainConfig& c) {
  const std::string task = std::visit([](const auto& t) { return std::string(t.kType); }, c.task);
  const std::string model = model_type(c.model), data = data_type(c.data);
  if (task != task_of(c.model)) throw ConfigError(fmt::format("task.type {} does not go with model.type {}; {}", task, model, models_for(task)));
  if (task == FlowMatchingTask::kType && example_shape(c.data).size() != 4)
    throw ConfigError(fmt::format("task.type flow_matching learns from clips with captions, but data.type {}{} has none; use moving_digits with examples clips",
                                  data, data == MovingDigitsConfig::kType ? " with these examples" : ""));
  if (task == ClassificationTask::kType && !has_labels(c.data))
    throw ConfigError(
        fmt::format("task.type classification needs labels, but data.type {} has none; use mnist, cifar10, moving_digits with examples frames or steps, or an "
                    "image_folder with one sub-folder a class",
                    data));
  require_fitting_model(c.model, example_shape(c.data), data);
}

void require_fitting_batch(const TrainConfig& c, int64_t num_examples) {
  if (c.batch_size > num_examples)
    throw ConfigError(
        fmt::format("batch_size is {}, but data.type {} holds {} examples (allowed 1..{})", c.batch_size, data_type(c.data), num_examples, num_examples));
}

void require_fitting_classes(const TrainConfig& c, const at::Tensor& labels) {
  const int64_t largest = labels.max().item<int64_t>();
  if (largest >= num_classes(c.model))
    throw ConfigError(fmt::format("model.layout.num_classes is {}, but data.type {} has the classes 0..{}: set it to {}", num_classes(c.model),
                                  data_type(c.data), largest, largest + 1));
}

}  // namespace linden
