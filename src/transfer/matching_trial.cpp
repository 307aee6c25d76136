#include "transfer/matching_trial.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>

#include "core/error.h"
#include "diffusion/flow_sampler.h"
#include "transfer/matching.h"

namespace linden {
namespace {

constexpr int64_t kTrajectories = 512, kHeldOut = 32, kWidth = 2;

// The mixture's velocity u = (x - E[x_0 | x]) / t.
class MixtureTeacher {
 public:
  explicit MixtureTeacher(const MatchingTrialConfig& c) : deviation_(c.deviation) {
    const at::Tensor angle = at::arange(c.components, at::kFloat) * (2 * M_PI / static_cast<double>(c.components));
    centres_ = c.radius * at::stack({angle.cos(), angle.sin()}, 1);  // [K, 2]
  }

  at::Tensor operator()(const at::Tensor& x, const at::Tensor& sigma) const {
    const at::Tensor t = sigma.unsqueeze(1), v = (1 - t).square() * deviation_ * deviation_ + t.square();  // [B, 1]
    const at::Tensor offset = x.unsqueeze(1) - (1 - t).unsqueeze(2) * centres_;                            // [B, K, 2]
    const at::Tensor share = at::softmax(-offset.square().sum(2) / (2 * v), 1);                            // [B, K]
    const at::Tensor centre = at::matmul(share, centres_);                                                 // [B, 2]
    return (x - centre - (1 - t) * deviation_ * deviation_ / v * (x - (1 - t) * centre)) / t;
  }

 private:
  double deviation_;
  at::Tensor centres_;
};

class Correction {
 public:
  Correction(const MatchingTrialConfig& c, at::Generator& random)
      : steps_(static_cast<double>(c.solver_steps)),
        shift_(c.shift),
        scale_(std::sqrt(2.0 / static_cast<double>(c.features))) {
    omega_ = at::randn({kWidth, c.features}, random) / c.space_width;
    nu_ = at::randn({1, c.features}, random) / c.time_width;
    phase_ = at::rand({c.features}, random) * (2 * M_PI);
    theta = (at::randn({c.features, kWidth}, random) * c.perturbation).requires_grad_();
  }

  at::Tensor operator()(const at::Tensor& x, const at::Tensor& sigma) const {
    const at::Tensor t = sigma.unsqueeze(1), place = steps_ * (1 - t / (shift_ - (shift_ - 1) * t));  // p(t)
    return at::matmul(at::cos(at::matmul(x, omega_) + place * nu_ + phase_), theta) * scale_;
  }

  at::Tensor theta;  // [R, 2]

 private:
  double steps_, shift_, scale_;
  at::Tensor omega_, nu_, phase_;
};

// States of an Euler run from `noise` [B, 2]: [N+1, B, 2].
at::Tensor euler_states(const VelocityAt& velocity, const FlowTimes& times, const at::Tensor& noise) {
  std::vector<at::Tensor> states = {noise};
  for (int64_t i = 0; i + 1 < times.sigma.size(0); ++i) {
    const at::Tensor sigma = times.sigma[i].expand(noise.size(0));
    states.push_back(states.back() + (times.sigma[i + 1] - times.sigma[i]) * velocity(states.back(), sigma));
  }
  return at::stack(states);
}

class Adam {
 public:
  Adam(const MatchingTrialConfig& c, const at::Tensor& values)
      : mean_(at::zeros_like(values)),
        square_(at::zeros_like(values)),
        rate_(c.learning_rate),
        epsilon_(c.epsilon) {}
  void step(const at::Tensor& values, const at::Tensor& gradient, int64_t step) {
    const at::NoGradGuard no_grad;
    mean_.lerp_(gradient, 0.1);
    square_.lerp_(gradient.square(), 0.001);
    values.sub_(rate_ / (1 - std::pow(0.9, step)) * mean_ / ((square_ / (1 - std::pow(0.999, step))).sqrt_() + epsilon_));
  }

 private:
  at::Tensor mean_, square_;
  double rate_, epsilon_;
};

class Judge {
 public:
  Judge(const VelocityAt& teacher, const VelocityAt& student, const VelocityAt& correction, FlowTimes times, at::Generator& random)
      : student_(student),
        correction_(correction),
        teacher_(teacher),
        times_(std::move(times)),
        noise_(at::randn({kHeldOut, kWidth}, random)),
        states_(euler_states(teacher, times_, noise_)) {}

  void log(MatchingTrial& trial, int64_t step) const {
    const at::NoGradGuard no_grad;
    const at::Tensor own = euler_states(student_, times_, noise_);
    trial.step.push_back(step);
    trial.velocity_error.push_back(relative_error(states_));
    trial.own_error.push_back(relative_error(own));
    trial.end_distance.push_back((own[-1] - states_[-1]).square().sum(1).sqrt().mean().item<double>());
  }

 private:
  double relative_error(const at::Tensor& states) const {  // [N+1, B, 2]
    const int64_t steps = states.size(0) - 1;
    const at::Tensor x = states.narrow(0, 0, steps).flatten(0, 1), sigma = times_.sigma.narrow(0, 0, steps).repeat_interleave(kHeldOut);
    return (correction_(x, sigma).square().mean() / teacher_(x, sigma).square().mean()).item<double>();
  }

  VelocityAt student_, correction_, teacher_;
  FlowTimes times_;
  at::Tensor noise_, states_;
};

}  // namespace

void visit_fields(FieldVisitor& v, MatchingTrialConfig& c) {
  visit(v, Field("solver_steps", "Euler steps of a trajectory").at_least(2), c.solver_steps);
  visit(v, Field("shift", "of the solver's times").above(0), c.shift);
  visit(v, Field("components", "Gaussians of the teacher's data, on a circle").at_least(1), c.components);
  visit(v, Field("radius", "of the circle").at_least(0), c.radius);
  visit(v, Field("deviation", "of each Gaussian").above(0), c.deviation);
  visit(v, Field("features", "random features of the student's correction").at_least(1), c.features);
  visit(v, Field("space_width", "of its tangent kernel in x").above(0), c.space_width);
  visit(v, Field("perturbation", "deviation of the correction before the first step").at_least(0), c.perturbation);
  visit(v, Field("batch_size", "states a step").at_least(1), c.batch_size);
  visit(v, Field("steps", "optimiser steps").at_least(1), c.steps);
  visit(v, Field("log_every", "steps between measurements").at_least(1), c.log_every);
}

double MatchingTrial::growth() const { return velocity_error.back() / velocity_error.front(); }

MatchingTrial run_matching_trial(const MatchingConfig& matching, const MatchingTrialConfig& c) {
  at::Generator random = at::make_generator<at::CPUGeneratorImpl>(c.seed);
  const MixtureTeacher teacher(c);
  const Correction correction(c, random);
  const VelocityAt student = [&](const at::Tensor& x, const at::Tensor& sigma) { return teacher(x, sigma) + correction(x, sigma); };
  const FlowTimes times =
      flow_times(FlowSampler(FlowEulerConfig{{.num_steps = c.solver_steps, .shift = c.shift, .sigma_convention = "wan"}}).schedule(), at::kCPU);
  const at::Tensor states = euler_states(teacher, times, at::randn({kTrajectories, kWidth}, random));
  const Judge judge(teacher, student, correction, times, random);
  Adam adam(c, correction.theta);
  MatchingTrial trial;
  judge.log(trial, 0);
  for (int64_t step = 1; step <= c.steps; ++step) {
    const at::Tensor time = at::randint(c.solver_steps, {c.batch_size}, random, at::kLong), row = at::randint(kTrajectories, {c.batch_size}, random, at::kLong);
    const MatchingDraw draw{.x = states.index({time, row}),
                            .sigma = times.sigma.index({time}),
                            .next_sigma = times.sigma.index({time + 1}),
                            .lower = at::rand({c.batch_size}, random),
                            .noise = at::randn({c.batch_size, kWidth}, random),
                            .velocity = {}};
    const MatchingParts parts = matching_loss(matching, times, {student, teacher, {}}, draw);
    adam.step(correction.theta, torch::autograd::grad({parts.loss}, {correction.theta})[0], step);
    if (step % c.log_every == 0 || step == c.steps) judge.log(trial, step);
    if (!(trial.velocity_error.back() < 1e6)) break;
  }
  return trial;
}

}  // namespace linden
