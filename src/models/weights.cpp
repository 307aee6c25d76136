#include "models/weights.h"

#include <ATen/core/grad_mode.h>
#include <fmt/format.h>
#include <torch/nn/module.h>

#include <array>
#include <utility>
#include <vector>

#include "models/tensor_fit.h"

namespace linden {
namespace {

// "a.query.weight" -> "a.to_q.weight": names of diffusers before 0.17.
std::string current_name(const std::string& name) {
  static const std::array<std::pair<std::string, std::string>, 4> renamed = {
      {{".query.", ".to_q."}, {".key.", ".to_k."}, {".value.", ".to_v."}, {".proj_attn.", ".to_out.0."}}};
  if (name.find("attentions.") == std::string::npos) return name;
  for (const auto& [old_part, new_part] : renamed) {
    const auto found = name.find(old_part);
    if (found != std::string::npos) return std::string(name).replace(found, old_part.size(), new_part);
  }
  return name;
}

// [O, I, 1, 1] or [O, I, 1] where [O, I] is wanted: a linear layer stored as a 1x1 convolution.
bool is_pointwise_form(const at::Tensor& tensor, const at::Tensor& wanted) {
  if (wanted.dim() != 2 || tensor.dim() <= 2 || tensor.numel() != wanted.numel()) return false;
  return tensor.size(0) == wanted.size(0) && tensor.size(1) == wanted.size(1);
}

}  // namespace

NamedTensors named_weights(const torch::nn::Module& module) {
  NamedTensors weights;
  for (const auto& item : module.named_parameters()) weights[item.key()] = item.value();
  for (const auto& item : module.named_buffers()) weights[item.key()] = item.value();
  return weights;
}

void load_weights(torch::nn::Module& module, const NamedTensors& tensors, const std::string& origin, const std::string& advice) {
  NamedTensors wanted = named_weights(module), given;
  TensorFit fit;
  for (const auto& [name, tensor] : tensors) {
    const std::string current = current_name(name);
    const auto target = wanted.find(current);
    if (target == wanted.end() || !given.emplace(current, tensor).second) {
      fit.surplus.push_back(fmt::format("{} {}", name, shape_text(tensor.sizes().vec())));
    } else if (is_pointwise_form(tensor, target->second)) {
      given[current] = tensor.reshape(target->second.sizes());
    } else if (tensor.sizes() != target->second.sizes()) {
      fit.misshaped.push_back(fmt::format("{} is {}, wanted {}", name, shape_text(tensor.sizes().vec()), shape_text(target->second.sizes().vec())));
    }
  }
  for (const auto& [name, tensor] : wanted) {
    if (!given.contains(name)) fit.missing.push_back(fmt::format("{} {}", name, shape_text(tensor.sizes().vec())));
  }
  check_fit(fit, origin, advice);
  at::NoGradGuard no_grad;
  for (auto& [name, target] : wanted) target.copy_(given.at(name));
}

}  // namespace linden
