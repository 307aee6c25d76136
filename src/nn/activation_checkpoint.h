// Activation checkpointing: a part of a network keeps its inputs alone and runs again in the backward pass.
//
// For parts that draw no random numbers. Outputs and gradients are those of the plain call, bit for bit, where the part is
// deterministic; the gradients of parameters come as those of any other function (torch::autograd::grad works), and
// autocast is as it was in the forward pass.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

namespace linden {

// Tensors to tensors, all defined.
using CheckpointedPart = std::function<std::vector<at::Tensor>(const std::vector<at::Tensor>&)>;

// part(inputs), whose gradients flow to `inputs` and to those of `parameters` that need one: the tensors that the part
// uses besides its inputs. Without gradients wanted it is part(inputs).
std::vector<at::Tensor> checkpoint_activations(const CheckpointedPart& part, const std::vector<at::Tensor>& inputs, const std::vector<at::Tensor>& parameters);

}  // namespace linden
