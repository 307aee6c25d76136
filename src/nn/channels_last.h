// Memory layout of a module's convolution weights.
#pragma once

#include <torch/nn/module.h>

namespace linden {

// Stores every 4-D parameter in channels_last, so that a channels_last input meets weights that need no
// reordering. Values, names and shapes stay.
void weights_to_channels_last(torch::nn::Module& module);

}  // namespace linden
