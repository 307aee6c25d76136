#include "nn/activation_checkpoint.h"

#include <ATen/autocast_mode.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "core/error.h"

namespace linden {
namespace {

using torch::autograd::variable_list;

// Sets autocast of a device type for a scope: the backward pass runs on a thread of its own.
class AutocastScope {
 public:
  AutocastScope(at::DeviceType device, bool enabled, at::ScalarType dtype)
      : device_(device),
        was_enabled_(at::autocast::is_autocast_enabled(device)),
        was_dtype_(at::autocast::get_autocast_dtype(device)) {
    at::autocast::set_autocast_dtype(device, dtype);
    at::autocast::set_autocast_enabled(device, enabled);
    at::autocast::increment_nesting();
  }
  ~AutocastScope() {
    if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(device_, was_enabled_);
    at::autocast::set_autocast_dtype(device_, was_dtype_);
  }
  AutocastScope(const AutocastScope&) = delete;

 private:
  at::DeviceType device_;
  bool was_enabled_;
  at::ScalarType was_dtype_;
};

// What the backward pass needs besides tensors.
struct Recipe : torch::CustomClassHolder {
  CheckpointedPart part;
  variable_list parameters;
  size_t num_inputs = 0;
  at::DeviceType device = at::kCPU;
  bool autocast = false;
  at::ScalarType autocast_dtype = at::kFloat;
};

class CheckpointFunction : public torch::autograd::Function<CheckpointFunction> {
 public:
  // tensors: the inputs, then the parameters.
  static variable_list forward(torch::autograd::AutogradContext* context, at::TensorList tensors, const c10::intrusive_ptr<Recipe>& recipe) {
    const variable_list inputs(tensors.begin(), tensors.begin() + static_cast<int64_t>(recipe->num_inputs));
    context->save_for_backward(inputs);
    context->saved_data["recipe"] = c10::IValue::make_capsule(recipe);
    return recipe->part(inputs);
  }

  static variable_list backward(torch::autograd::AutogradContext* context, variable_list grads) {
    check(!at::GradMode::is_enabled(), "activation checkpointing: there is no second derivative; call backward without create_graph");
    const auto recipe = c10::static_intrusive_pointer_cast<Recipe>(context->saved_data["recipe"].toCapsule());
    variable_list inputs, wanted;  // wanted: what a gradient is asked of
    for (const at::Tensor& saved : context->get_saved_variables()) inputs.push_back(saved.detach().requires_grad_(saved.requires_grad()));
    std::vector<size_t> places;  // of `wanted` in the result
    const auto want = [&](const at::Tensor& tensor, size_t place) {
      if (!tensor.requires_grad()) return;
      wanted.push_back(tensor);
      places.push_back(place);
    };
    for (size_t i = 0; i < inputs.size(); ++i) want(inputs[i], i);
    for (size_t i = 0; i < recipe->parameters.size(); ++i) want(recipe->parameters[i], inputs.size() + i);
    const variable_list found = recompute_gradients(*recipe, inputs, wanted, grads);
    variable_list result(inputs.size() + recipe->parameters.size() + 1);
    for (size_t i = 0; i < found.size(); ++i) result[places[i]] = found[i];
    return result;
  }

 private:
  static variable_list recompute_gradients(const Recipe& recipe, const variable_list& inputs, const variable_list& wanted, const variable_list& grads) {
    const at::AutoGradMode with_gradients(true);
    variable_list outputs;
    {
      const AutocastScope autocast(recipe.device, recipe.autocast, recipe.autocast_dtype);
      outputs = recipe.part(inputs);
    }
    variable_list reached, cotangents;
    for (size_t i = 0; i < outputs.size(); ++i) {
      if (!grads[i].defined() || !outputs[i].requires_grad()) continue;
      reached.push_back(outputs[i]);
      cotangents.push_back(grads[i]);
    }
    return torch::autograd::grad(reached, wanted, cotangents, /*retain_graph=*/false, /*create_graph=*/false, /*allow_unused=*/true);
  }
};

}  // namespace

std::vector<at::Tensor> checkpoint_activations(const CheckpointedPart& part, const std::vector<at::Tensor>& inputs, const std::vector<at::Tensor>& parameters) {
  if (!at::GradMode::is_enabled()) return part(inputs);
  auto recipe = c10::make_intrusive<Recipe>();
  recipe->part = part;
  std::copy_if(parameters.begin(), parameters.end(), std::back_inserter(recipe->parameters), [](const at::Tensor& p) { return p.requires_grad(); });
  recipe->num_inputs = inputs.size();
  recipe->device = inputs.front().device().type();
  recipe->autocast = at::autocast::is_autocast_enabled(recipe->device);
  recipe->autocast_dtype = at::autocast::get_autocast_dtype(recipe->device);
  variable_list tensors = inputs;
  tensors.insert(tensors.end(), recipe->parameters.begin(), recipe->parameters.end());
  return CheckpointFunction::apply(at::TensorList(tensors), recipe);
}

}  // namespace linden
