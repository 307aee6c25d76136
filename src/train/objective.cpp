#include "train/objective.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/nn/module.h>

#include <cmath>

#include "core/error.h"
#include "data/labelled_images.h"
#include "diffusion/flow_path.h"
#include "models/caption_table.h"
#include "ops/philox_normal.h"

namespace linden {
namespace {

constexpr int64_t kEvaluationBatch = 1000;

// The examples of a step, fp32, flipped where the plan says so.
at::Tensor examples_of(const TrainingSet& set, const StepDraw& draw) {
  const at::Tensor batch = set.batch(draw.examples);
  return draw.flips.defined() ? flip_images(batch, draw.flips) : batch;
}

class NoisePrediction final : public Objective {
 public:
  NoisePrediction(const NoisePredictionTask& task, const Trainee& trainee, const TrainingSet& set, uint64_t seed)
      : predict_noise_(trainee.predict_noise),
        set_(set),
        shape_(set.example_shape()),
        seed_(seed) {
    std::vector<double> signal, noise;
    for (const double alpha_bar : NoiseSchedule(task.schedule).alpha_bar) {
      signal.push_back(std::sqrt(alpha_bar));
      noise.push_back(std::sqrt(1.0 - alpha_bar));
    }
    std::vector<int64_t> one_a_row(shape_.size() + 1, 1);
    one_a_row[0] = -1;
    signal_ = at::tensor(signal, at::kFloat).reshape(one_a_row).to(set.device());
    noise_ = at::tensor(noise, at::kFloat).reshape(one_a_row).to(set.device());
  }

  at::Tensor loss(const StepDraw& draw) const override {
    const at::Tensor clean = examples_of(set_, draw);
    const at::Tensor eps = philox_normal(seed_, Purpose::kTrainingNoise, draw.rows, draw.steps, shape_);
    const at::Tensor noisy = signal_.index_select(0, draw.timesteps) * clean + noise_.index_select(0, draw.timesteps) * eps;
    return at::mse_loss(predict_noise_(noisy, draw.timesteps).to(at::kFloat), eps);
  }

 private:
  NoisePredictorFunction predict_noise_;
  TrainingSet set_;
  std::vector<int64_t> shape_;  // of one example
  at::Tensor signal_, noise_;   // [T, 1, ...]: sqrt(alpha_bar), sqrt(1 - alpha_bar)
  uint64_t seed_;
};

class FlowMatching final : public Objective {
 public:
  FlowMatching(const FlowMatchingTask& task, const Trainee& trainee, const TrainingSet& set, uint64_t seed)
      : task_(task),
        predict_velocity_(trainee.predict_velocity),
        set_(set),
        shape_(set.example_shape()),
        seed_(seed) {}

  at::Tensor loss(const StepDraw& draw) const override {
    const at::Tensor clean = set_.batch(draw.examples);
    const at::Tensor eps = philox_normal(seed_, Purpose::kTrainingNoise, draw.rows, draw.steps, shape_);
    const at::Tensor u = (draw.timesteps.to(at::kFloat) + 0.5) / static_cast<double>(kFlowTimesteps);
    const at::Tensor sigma = task_.shift * u / (1 + (task_.shift - 1) * u);
    at::Tensor captions = set_.clips->captions.index_select(0, draw.examples);
    if (draw.drops.defined()) captions = captions.masked_fill(draw.drops.unsqueeze(1), CaptionTable::kPadding);
    const at::Tensor velocity = predict_velocity_(flow_interpolate(clean, eps, sigma), kTimestepsOfSigma * sigma, captions);
    return at::mse_loss(velocity.to(at::kFloat), flow_velocity(clean, eps));
  }

 private:
  static constexpr double kTimestepsOfSigma = 1000;
  FlowMatchingTask task_;
  VelocityPredictorFunction predict_velocity_;
  TrainingSet set_;
  std::vector<int64_t> shape_;  // C, F, Y, X
  uint64_t seed_;
};

class Classification final : public Objective {
 public:
  Classification(const ClassificationTask& task, const Trainee& trainee, const TrainingSet& set) : task_(task), logits_(trainee.logits), set_(set) {}

  at::Tensor loss(const StepDraw& draw) const override {
    at::Tensor images = examples_of(set_, draw);
    if (task_.max_shift > 0) images = shift_images(images, draw.shifts, task_.max_shift);
    return at::cross_entropy_loss(logits_(images).to(at::kFloat), set_.labels.index_select(0, draw.examples), {}, at::Reduction::Mean,
                                  /*ignore_index=*/-100, task_.label_smoothing);
  }

 private:
  ClassificationTask task_;
  ClassifierFunction logits_;
  TrainingSet set_;
};

}  // namespace

void visit_fields(FieldVisitor& v, NoisePredictionTask& c) {
  visit(v, Field("schedule", "noise schedule of the training"), c.schedule);
  visit(v, Field("sampler", "DDIM steps of the sample grids"), c.sampler);
}

void visit_fields(FieldVisitor& v, FlowMatchingTask& c) {
  visit(v, Field("shift", "of the noise levels: above 1 spends more steps near the noise").above(0), c.shift);
  visit(v, Field("caption_dropout", "share of the captions that are left out, so that guidance has an unconditional half").between(0, 1), c.caption_dropout);
  visit(v, Field("sampler", "of the sample grids"), c.sampler);
  visit(v, Field("guidance", "of the sample grids"), c.guidance);
}

void visit_fields(FieldVisitor& v, ClassificationTask& c) {
  visit(v, Field("max_shift", "training images are moved by up to so many pixels, background moves in").between(0, 8), c.max_shift);
  visit(v, Field("label_smoothing", "probability that is spread over the other classes").between(0, 0.5), c.label_smoothing);
}

std::unique_ptr<Objective> make_objective(const TaskConfig& task, const Trainee& trainee, const TrainingSet& set, uint64_t seed) {
  if (const auto* noise = std::get_if<NoisePredictionTask>(&task)) return std::make_unique<NoisePrediction>(*noise, trainee, set, seed);
  if (const auto* flow = std::get_if<FlowMatchingTask>(&task)) return std::make_unique<FlowMatching>(*flow, trainee, set, seed);
  return std::make_unique<Classification>(std::get<ClassificationTask>(task), trainee, set);
}

at::Tensor shift_images(const at::Tensor& images, const at::Tensor& shifts, int64_t max_shift) {
  const int64_t batch = images.size(0), rows = images.size(2), columns = images.size(3), m = max_shift;
  const auto options = shifts.options();
  const at::Tensor padded = at::constant_pad_nd(images, {m, m, m, m}, -1.0);
  const at::Tensor b = at::arange(batch, options).view({batch, 1, 1});
  const at::Tensor y = at::arange(rows, options).view({1, rows, 1}) + m - shifts.select(1, 0).view({batch, 1, 1});
  const at::Tensor x = at::arange(columns, options).view({1, 1, columns}) + m - shifts.select(1, 1).view({batch, 1, 1});
  // [B, Y, X, C]: the sliced axis stays where it was only when the index tensors are neighbours.
  return padded.permute({0, 2, 3, 1}).index({b, y, x}).permute({0, 3, 1, 2}).contiguous();
}

double classification_accuracy(const Trainee& classifier, const TrainingSet& test_set) {
  const at::NoGradGuard no_grad;
  classifier.module->eval();
  const int64_t size = test_set.size();
  at::Tensor right = at::zeros({}, test_set.labels.options());
  for (int64_t begin = 0; begin < size; begin += kEvaluationBatch) {
    const int64_t end = std::min(size, begin + kEvaluationBatch);
    const at::Tensor guess = classifier.logits(scaled_to_unit(test_set.examples.slice(0, begin, end))).argmax(1);
    right += (guess == test_set.labels.slice(0, begin, end)).sum();
  }
  classifier.module->train();
  return static_cast<double>(right.item<int64_t>()) / static_cast<double>(size);
}

}  // namespace linden
