// A module's parameters and gradients as views of two contiguous buffers. The optimiser, the EMA and the
// gradient norm then are a handful of launches in all, not several a tensor.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "io/safetensors.h"

namespace linden {

class FlatParameters {
 public:
  // Moves the module's parameters (all fp32, on one device) into one buffer; their values, names and shapes
  // stay, 4-D ones keep channels_last strides. Gradients are allocated and zero from here on. Move the
  // module to its device first and do not move it afterwards.
  // Parameters whose name `leave_out` takes stay where they are.
  explicit FlatParameters(const std::shared_ptr<torch::nn::Module>& module, const std::function<bool(const std::string&)>& leave_out = {});

  at::Tensor values;               // [P], P padded: each parameter starts on a multiple of kAlignment elements
  at::Tensor gradients;            // [P]
  int64_t num_parameters() const;  // without the padding

  // The parameter-shaped views of a buffer that is laid out like `values`, by the module's names.
  NamedTensors views(const at::Tensor& flat) const;
  // Fills `flat` from named tensors. Throws InputError that lists every missing, surplus or misshapen one;
  // `origin` names the file.
  void fill(const at::Tensor& flat, const NamedTensors& tensors, const std::string& origin) const;
  // The module's buffers (running statistics), by name.
  NamedTensors buffers() const;

 private:
  struct Slot {
    std::string name;
    int64_t offset;
    std::vector<int64_t> sizes;
    bool channels_last;
  };
  at::Tensor view(const at::Tensor& flat, const Slot& slot) const;

  std::shared_ptr<torch::nn::Module> module_;
  std::vector<Slot> slots_;
};

// One line for each tensor that is missing in `found`, surplus, or of another shape than in `wanted`.
std::vector<std::string> tensor_mismatches(const NamedTensors& wanted, const NamedTensors& found);

}  // namespace linden
