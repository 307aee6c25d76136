#include "train/cost_estimate.h"

#include <torch/csrc/autograd/functions/accumulate_grad.h>
#include <ATen/ATen.h>
#include <torch/csrc/autograd/function.h>
#include <torch/nn/module.h>

#include <unordered_set>

namespace linden {
namespace {

// What one forward pass adds up to.
struct Tally {
  int64_t flops = 0, bytes = 0;
};

// The weight behind an edge of the autograd graph (through a transposition, as linear layers have it), or undefined.
at::Tensor weight_behind(const torch::autograd::Edge& edge) {
  if (!edge.function) return {};
  if (const auto* leaf = dynamic_cast<const torch::autograd::AccumulateGrad*>(edge.function.get())) return leaf->variable;
  return edge.function->name() == "TBackward0" ? weight_behind(edge.function->next_edge(0)) : at::Tensor();
}

// Adds the operator that `node` is the gradient of: the bytes of its results, and, where it takes a weight
// [out, ...] of two dimensions or more, a multiply-add for each element of the result and of weight[0].
void add_operator(const torch::autograd::Node& node, Tally& tally) {
  if (node.num_inputs() == 0 || node.name() == "TBackward0" || dynamic_cast<const torch::autograd::AccumulateGrad*>(&node)) return;
  const auto& result = node.input_metadata(0);
  int64_t numel = 1;
  for (const c10::SymInt& size : result.shape_as_dim_vector()) numel *= size.expect_int();
  tally.bytes += numel * static_cast<int64_t>(result.dtype().itemsize());
  for (const auto& edge : node.next_edges()) {
    const at::Tensor weight = weight_behind(edge);
    if (weight.defined() && weight.dim() >= 2) tally.flops += 2 * numel * (weight.numel() / weight.size(0));
  }
}

// One example forward, and then along the autograd graph that it left.
Tally measure_forward(const Trainee& trainee) {
  std::vector<int64_t> shape = trainee.example_shape;
  shape.insert(shape.begin(), 1);
  const at::Tensor x = at::zeros(shape);
  at::Tensor result;
  if (trainee.predict_noise) result = trainee.predict_noise(x, at::zeros({1}, at::kLong));
  if (trainee.logits) result = trainee.logits(x);
  if (trainee.predict_velocity) result = trainee.predict_velocity(x, at::zeros({1}), at::zeros({1, 1}, at::kLong));
  Tally tally;
  std::vector<torch::autograd::Node*> open = {result.grad_fn().get()};
  std::unordered_set<torch::autograd::Node*> seen(open.begin(), open.end());
  while (!open.empty()) {
    const torch::autograd::Node* node = open.back();
    open.pop_back();
    add_operator(*node, tally);
    for (const auto& edge : node->next_edges())
      if (edge.function && seen.insert(edge.function.get()).second) open.push_back(edge.function.get());
  }
  return tally;
}

int64_t count_parameters(const torch::nn::Module& module) {
  int64_t count = 0;
  for (const at::Tensor& parameter : module.parameters()) count += parameter.numel();
  return count;
}

std::string megabytes(int64_t bytes) { return fmt::format("{:.1f} MB", static_cast<double>(bytes) / 1e6); }

}  // namespace

CostEstimate estimate_cost(const TrainConfig& config) {
  const Trainee trainee = make_trainee(config.model, example_shape(config.data), static_cast<uint64_t>(config.run.seed), config.channels_last);
  const Tally forward = measure_forward(trainee);
  CostEstimate cost;
  for (const auto& child : trainee.module->named_children()) cost.parameters.emplace_back(child.key(), count_parameters(*child.value()));
  cost.num_parameters = count_parameters(*trainee.module);
  cost.forward_flops = forward.flops;
  cost.activation_bytes = forward.bytes;
  cost.state_bytes = 5 * 4 * cost.num_parameters;
  cost.data_bytes = example_bytes(config.data) * num_examples(config.data);
  cost.step_bytes = cost.state_bytes + cost.data_bytes + config.batch_size * cost.activation_bytes;
  cost.total_flops = 3.0 * static_cast<double>(cost.forward_flops) * static_cast<double>(config.batch_size) * static_cast<double>(config.steps);
  return cost;
}

std::string cost_table(const TrainConfig& config, const CostEstimate& cost) {
  std::string text = fmt::format("{:<28}{:>14}\n", "module", "parameters");
  for (const auto& [name, count] : cost.parameters) text += fmt::format("{:<28}{:>14}\n", name, count);
  text += fmt::format("{:<28}{:>14}\n\n", "all", cost.num_parameters);
  const auto row = [&](const std::string& name, const std::string& value) { text += fmt::format("{:<28}{}\n", name, value); };
  row("examples", fmt::format("{}, {} steps an epoch, {:.1f} epochs", num_examples(config.data), num_examples(config.data) / config.batch_size,
                              static_cast<double>(config.steps * config.batch_size) / static_cast<double>(num_examples(config.data))));
  row("memory", fmt::format("{}: state {}, data {}, activations about {}", megabytes(cost.step_bytes), megabytes(cost.state_bytes), megabytes(cost.data_bytes),
                            megabytes(config.batch_size * cost.activation_bytes)));
  row("forward of one example", fmt::format("{:.2f} MFLOP", static_cast<double>(cost.forward_flops) / 1e6));
  row("one step", fmt::format("{:.1f} GFLOP", cost.total_flops / static_cast<double>(config.steps) / 1e9));
  row("the whole run", fmt::format("{:.4g} PFLOP in {} steps", cost.total_flops / 1e15, config.steps));
  return text;
}

}  // namespace linden
