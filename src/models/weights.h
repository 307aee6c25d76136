// A module's weights by name, and filling a module from a set of named tensors.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>

#include "io/safetensors.h"

namespace torch::nn {
class Module;
}

namespace linden {

// Parameters and buffers under their checkpoint names. The tensors share storage with the module.
NamedTensors named_weights(const torch::nn::Module& module);

// Copies `tensors` into the module (converted to its dtype and device). Old attention names (query, key,
// value, proj_attn) and attention weights stored as 1x1 convolutions are accepted. Throws InputError that
// lists missing, surplus and misshaped tensors (their counts and the first of each) and ends with `advice`; the module is then unchanged. `origin` names
// the file.
void load_weights(torch::nn::Module& module, const NamedTensors& tensors, const std::string& origin,
                  const std::string& advice = "Check that config.json and the weight file belong together.");

}  // namespace linden
