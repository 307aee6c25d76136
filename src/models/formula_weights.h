// Weights from a formula of (tensor name, flat index, seed), so that big models can be compared with a
// reference library without big files. The same bits as scripts/golden/formula_weights.py on any machine:
// every operation is an integer one or exactly rounded.
//
//   key(name, seed) = splitmix64(fnv1a64(name) + splitmix64(seed))
//   u(index)        = (splitmix64(key + index) >> 40) * 2^-23 - 1          in [-1, 1), fp32
//
//   two or more dimensions:                                 sqrt(3 / fan_in) u    (variance 1 / fan_in)
//   one dimension, name ends in "weight" or "running_var":  1 + u / 8
//   everything else:                                        u / 8
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

namespace torch::nn {
class Module;
}

namespace linden {

// fp32 on the CPU; fan_in = elements / shape[0].
at::Tensor formula_tensor(const std::string& name, at::IntArrayRef shape, uint64_t seed);

// Fills every floating parameter and buffer of the module by its name.
void set_formula_weights(torch::nn::Module& module, uint64_t seed);

// The seed of "formula:SEED". Throws InputError if `weights` does not have that form.
uint64_t formula_seed(const std::string& weights);

}  // namespace linden
