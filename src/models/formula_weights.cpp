#include "models/formula_weights.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>

#include <charconv>
#include <cmath>

#include "core/error.h"
#include "models/weights.h"

namespace linden {
namespace {

uint64_t splitmix64(uint64_t x) {  // Steele et al. 2014, "Fast splittable pseudorandom number generators"
  x += 0x9E3779B97F4A7C15ull;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
  return x ^ (x >> 31);
}

uint64_t fnv1a64(const std::string& text) {
  uint64_t value = 0xCBF29CE484222325ull;
  for (const unsigned char byte : text) value = (value ^ byte) * 0x100000001B3ull;
  return value;
}

}  // namespace

at::Tensor formula_tensor(const std::string& name, at::IntArrayRef shape, uint64_t seed) {
  at::Tensor tensor = at::empty(shape, at::kFloat);
  const int64_t count = tensor.numel();
  // value = offset + scale * u. For the two one-dimensional forms scale is a power of two: the product is
  // exact, so a fused multiply-add cannot change the result.
  float offset = 0.0f, scale = 0.125f;
  if (shape.size() >= 2) {
    if (count > 0) scale = static_cast<float>(std::sqrt(3.0 / static_cast<double>(count / shape[0])));
  } else if (name.ends_with("weight") || name.ends_with("running_var")) {
    offset = 1.0f;
  }
  const uint64_t key = fnv1a64(name) + splitmix64(seed);
  float* values = tensor.mutable_data_ptr<float>();
  for (int64_t i = 0; i < count; ++i) {
    const float u = static_cast<float>(splitmix64(key + static_cast<uint64_t>(i)) >> 40) * 0x1p-23f - 1.0f;
    values[i] = offset + scale * u;
  }
  return tensor;
}

void set_formula_weights(torch::nn::Module& module, uint64_t seed) {
  at::NoGradGuard no_grad;
  for (auto& [name, tensor] : named_weights(module)) {
    if (tensor.is_floating_point()) tensor.copy_(formula_tensor(name, tensor.sizes(), seed));
  }
}

uint64_t formula_seed(const std::string& weights) {
  const std::string prefix = "formula:";
  uint64_t seed = 0;
  const char* first = weights.data() + std::min(prefix.size(), weights.size());
  const char* last = weights.data() + weights.size();
  const auto [end, error] = std::from_chars(first, last, seed);
  check_input(weights.starts_with(prefix) && error == std::errc() && end == last,
              "weights is \"{}\", wanted \"folder\" (the folder's weight file) or \"formula:SEED\" with a whole number, "
              "for example formula:0",
              weights);
  return seed;
}

}  // namespace linden
