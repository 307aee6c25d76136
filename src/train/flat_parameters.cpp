#include "train/flat_parameters.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/nn/module.h>

#include "core/error.h"

namespace linden {
namespace {

constexpr int64_t kAlignment = 64;  // elements: 256 bytes, what a fresh CUDA allocation has too

}  // namespace

FlatParameters::FlatParameters(const std::shared_ptr<torch::nn::Module>& module, const std::function<bool(const std::string&)>& leave_out) : module_(module) {
  const at::NoGradGuard no_grad;
  std::vector<torch::OrderedDict<std::string, at::Tensor>::Item> parameters;
  for (const auto& item : module->named_parameters())
    if (!leave_out || !leave_out(item.key())) parameters.push_back(item);
  check(!parameters.empty(), "FlatParameters: the module has no parameters");
  int64_t size = 0;
  for (const auto& item : parameters) {
    const at::Tensor& parameter = item.value();
    check(parameter.scalar_type() == at::kFloat, "FlatParameters: {} is not fp32", item.key());
    const bool channels_last = parameter.dim() == 4 && !parameter.is_contiguous() && parameter.is_contiguous(at::MemoryFormat::ChannelsLast);
    slots_.push_back({item.key(), size, parameter.sizes().vec(), channels_last});
    size += (parameter.numel() + kAlignment - 1) / kAlignment * kAlignment;
  }
  const auto options = parameters[0].value().options().requires_grad(false);
  values = at::zeros({size}, options);
  gradients = at::zeros({size}, options);
  for (size_t i = 0; i < slots_.size(); ++i) {
    at::Tensor& parameter = parameters[i].value();
    at::Tensor home = view(values, slots_[i]);
    home.copy_(parameter);
    parameter.set_data(home);
    parameter.mutable_grad() = view(gradients, slots_[i]);
  }
}

int64_t FlatParameters::num_parameters() const {
  int64_t count = 0;
  for (const Slot& slot : slots_) count += c10::multiply_integers(slot.sizes);
  return count;
}

at::Tensor FlatParameters::view(const at::Tensor& flat, const Slot& slot) const {
  const at::Tensor part = flat.narrow(0, slot.offset, c10::multiply_integers(slot.sizes));
  if (!slot.channels_last) return part.view(slot.sizes);
  return part.view({slot.sizes[0], slot.sizes[2], slot.sizes[3], slot.sizes[1]}).permute({0, 3, 1, 2});
}

NamedTensors FlatParameters::views(const at::Tensor& flat) const {
  check(flat.sizes() == values.sizes(), "FlatParameters::views: the buffer has {} elements, wanted {}", flat.numel(), values.numel());
  NamedTensors named;
  for (const Slot& slot : slots_) named[slot.name] = view(flat, slot);
  return named;
}

void FlatParameters::fill(const at::Tensor& flat, const NamedTensors& tensors, const std::string& origin) const {
  const at::NoGradGuard no_grad;
  NamedTensors wanted = views(flat);
  const std::vector<std::string> mismatches = tensor_mismatches(wanted, tensors);
  check_input(mismatches.empty(), "{}: its tensors do not fit this model:\n  {}", origin, fmt::join(mismatches, "\n  "));
  for (auto& [name, tensor] : wanted) tensor.copy_(tensors.at(name));
}

NamedTensors FlatParameters::buffers() const {
  NamedTensors named;
  for (const auto& item : module_->named_buffers()) named[item.key()] = item.value();
  return named;
}

std::vector<std::string> tensor_mismatches(const NamedTensors& wanted, const NamedTensors& found) {
  std::vector<std::string> lines;
  for (const auto& [name, tensor] : wanted) {
    const auto other = found.find(name);
    if (other == found.end()) lines.push_back(name + " is missing");
    else if (other->second.sizes() != tensor.sizes())
      lines.push_back(fmt::format("{} has shape [{}], wanted [{}]", name, fmt::join(other->second.sizes(), ", "), fmt::join(tensor.sizes(), ", ")));
  }
  for (const auto& [name, tensor] : found)
    if (!wanted.contains(name)) lines.push_back(name + " is not a tensor of this model");
  return lines;
}

}  // namespace linden
