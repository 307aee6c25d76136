// What a training step minimises, and how a finished network is judged.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>

#include "core/config.h"
#include "data/training_set.h"
#include "diffusion/flow_sampler.h"
#include "diffusion/guidance.h"
#include "diffusion/noise_schedule.h"
#include "diffusion/sampler.h"
#include "train/batch_plan.h"
#include "train/trainee.h"

namespace linden {

// Noise prediction (Ho et al. 2020, eq. 14): t uniform, eps standard normal,
//   L = mean | eps - eps_theta(sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps, t) |^2
struct NoisePredictionTask {
  static constexpr const char* kType = "noise_prediction";
  NoiseScheduleConfig schedule;
  DdimConfig sampler;  // of the sample grids
};
// Flow matching on the rectified path (Liu et al. 2023; diffusion/flow_path.h): u uniform, sigma = shift_sigma(u, shift),
//   L = mean | (eps - x_0) - u_theta((1 - sigma) x_0 + sigma eps, 1000 sigma, caption) |^2
struct FlowMatchingTask {
  static constexpr const char* kType = "flow_matching";
  double shift = 5.0;
  double caption_dropout = 0.1;
  FlowSamplerConfig sampler = FlowUniPCConfig{{.num_steps = 25}};  // of the sample grids
  GuidanceConfig guidance = {.convention = "u_plus", .scale = 2.0};
};
// Cross entropy of the class, of images moved by up to max_shift pixels (what moves in is background, -1).
struct ClassificationTask {
  static constexpr const char* kType = "classification";
  int64_t max_shift = 0;
  double label_smoothing = 0;
};
void visit_fields(FieldVisitor& v, NoisePredictionTask& c);
void visit_fields(FieldVisitor& v, ClassificationTask& c);
void visit_fields(FieldVisitor& v, FlowMatchingTask& c);
using TaskConfig = std::variant<NoisePredictionTask, ClassificationTask, FlowMatchingTask>;

// A draw of StepDraw::timesteps in 0 .. kFlowTimesteps - 1 stands for u = (draw + 1/2) / kFlowTimesteps.
inline constexpr int64_t kFlowTimesteps = int64_t{1} << 24;

class Objective {
 public:
  virtual ~Objective() = default;
  // The loss of one step, a scalar on the device that backward() can be called on.
  virtual at::Tensor loss(const StepDraw& draw) const = 0;
};

// `set` lies on the device of the network.
std::unique_ptr<Objective> make_objective(const TaskConfig& task, const Trainee& trainee, const TrainingSet& set, uint64_t seed);

// images [B, C, Y, X] moved by shifts [B, 2] (rows, columns; |shift| <= max_shift); -1 moves in.
at::Tensor shift_images(const at::Tensor& images, const at::Tensor& shifts, int64_t max_shift);

// Share of the test set that the classifier gets right.
double classification_accuracy(const Trainee& classifier, const TrainingSet& test_set);

}  // namespace linden
