#include "transfer/gates.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <numeric>

#include "core/error.h"

namespace linden {
namespace {

AdamWConfig adam_of(const GateConfig& config) {
  return {.learning_rate = config.learning_rate, .beta1 = 0.9, .beta2 = 0.95, .epsilon = 1e-8, .weight_decay = 0};
}

std::vector<int64_t> gated_layers(VideoDit& student) {
  std::vector<int64_t> layers;
  for (size_t i = 0; i < student->blocks().size(); ++i)
    if (student->blocks()[i]->self_attention()->gate().defined()) layers.push_back(static_cast<int64_t>(i));
  return layers;
}

at::Tensor start_of(const GateConfig& config, size_t count, at::Device device) {
  const double start = config.parametrisation == "sigmoid" ? inverse_rectified_sigmoid(config.start) : config.start;
  return at::full({static_cast<int64_t>(count)}, start, at::dtype(at::kFloat).device(device));
}

}  // namespace

void copy_parameters(VideoDit from, VideoDit to) {
  const at::NoGradGuard no_grad;
  const auto source = from->named_parameters();
  for (auto& item : to->named_parameters())
    if (const at::Tensor* found = source.find(item.key())) item.value().copy_(*found);
}

VideoDit convert_attention(VideoDit teacher, const FeatureMapConfig& feature_map, const std::vector<bool>& allowed) {
  const std::vector<std::string> kinds = attention_of_blocks(teacher->config());
  check(kinds.size() == allowed.size(), "convert_attention: {} layers allowed or not, the teacher has {}", allowed.size(), kinds.size());
  for (size_t i = 0; i < kinds.size(); ++i)
    check_input(kinds[i] == "softmax", "the teacher's layer {} is {} already; a transfer starts from a teacher whose layers are all softmax", i, kinds[i]);
  VideoDitConfig config = teacher->config();
  config.feature_map = feature_map;
  config.attention.clear();
  for (const bool may : allowed) config.attention.emplace_back(may ? "gated" : "softmax");
  VideoDit student(config);
  copy_parameters(teacher, student);
  student->eval();  // as the teacher: there is no dropout
  return student;
}

VideoDit without_gates(VideoDit gated, const std::vector<int64_t>& linear) {
  VideoDitConfig config = gated->config();
  config.attention.assign(static_cast<size_t>(config.num_layers), "softmax");
  for (const int64_t layer : linear) config.attention[static_cast<size_t>(layer)] = "linear";
  VideoDit student(config);
  copy_parameters(gated, student);
  student->eval();
  return student;
}

bool is_gate(const std::string& name) { return name.ends_with(".gate"); }

GateScores::GateScores(const GateConfig& config, const AlphaScheduleConfig& alpha, VideoDit student)
    : config_(config),
      alpha_schedule_(alpha),
      layers_(gated_layers(student)),
      optimizer_(adam_of(config), at::zeros({0})) {
  const at::Device device = student->parameters().front().device();
  free = start_of(config, layers_.size(), device);
  optimizer_ = AdamW(adam_of(config), free);
  mean = optimizer_.mean;
  variance = optimizer_.variance;
  r = config.parametrisation == "sigmoid" ? rectified_sigmoid(free).contiguous() : free.clone();
  gradient = at::zeros_like(r);
  grad_constraint = at::zeros_like(r);
  grad_regulariser = at::zeros_like(r);
  constraint = at::zeros({}, r.options());
  regulariser = at::zeros({}, r.options());
  alpha_ = at::zeros({}, r.options());
  regulariser_on_ = at::zeros({}, r.options());
  for (size_t i = 0; i < layers_.size(); ++i) {
    at::Tensor& gate = student->blocks()[static_cast<size_t>(layers_[i])]->self_attention()->gate();
    gate.set_data(r.narrow(0, static_cast<int64_t>(i), 1));
    gate.mutable_grad() = gradient.narrow(0, static_cast<int64_t>(i), 1);
  }
}

void GateScores::begin_step(int64_t step, double progress) {
  optimizer_.begin_step(step, config_.learning_rate);
  alpha_.fill_(alpha_at(alpha_schedule_, progress));
  regulariser_on_.fill_(regulariser_on(alpha_schedule_, progress));
}

void GateScores::apply() {
  {
    const at::AutoGradMode with_gradient(true);
    const at::Tensor scores = r.detach().requires_grad_(true);
    const at::Tensor count = count_constraint(scores, config_.num_linear), undecided = decisiveness(scores, alpha_);
    grad_constraint.copy_(torch::autograd::grad({config_.constraint_weight * count}, {scores})[0]);
    grad_regulariser.copy_(torch::autograd::grad({config_.regulariser_weight * regulariser_on_ * undecided}, {scores})[0]);
    constraint.copy_(count.detach());
    regulariser.copy_(undecided.detach());
  }
  at::Tensor total = gradient + grad_constraint + grad_regulariser;
  if (config_.parametrisation == "sigmoid") {
    const at::AutoGradMode with_gradient(true);
    const at::Tensor v = free.detach().requires_grad_(true);
    total = torch::autograd::grad({rectified_sigmoid(v)}, {v}, {total})[0];
  }
  optimizer_.apply(free, total);
  if (config_.parametrisation == "sigmoid") {
    r.copy_(rectified_sigmoid(free));
  } else {
    free.clamp_(0, 1);
    r.copy_(free);
  }
}

std::vector<int64_t> GateScores::smallest(int64_t count) const {
  const at::Tensor values = r.to(at::kCPU, at::kDouble);
  const double* value = values.data_ptr<double>();
  std::vector<size_t> order(layers_.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order, [&](size_t a, size_t b) { return value[a] < value[b]; });
  std::vector<int64_t> chosen;
  for (int64_t i = 0; i < count; ++i) chosen.push_back(layers_[order[static_cast<size_t>(i)]]);
  std::ranges::sort(chosen);
  return chosen;
}

}  // namespace linden
