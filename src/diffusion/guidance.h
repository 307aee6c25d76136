// Classifier-free guidance (Ho and Salimans 2022) of any linear model output: noise, velocity or x0.
//
//   u_plus: out = u + w (c - u)     w = 1 is the conditional model    (Wan 2.1, diffusers: "guidance_scale")
//   c_plus: out = c + w (c - u)     w = 0 is the conditional model    (the paper's w; = u_plus with w + 1)
#pragma once

#include <ATen/core/Tensor.h>

#include <string>

#include "core/config.h"

namespace linden {

struct GuidanceConfig {
  std::string convention = "u_plus";
  double scale = 5.0;  // w
};
void visit_fields(FieldVisitor& v, GuidanceConfig& c);

// conditional, unconditional: [B, ...] of one shape. Returns [B, ...].
at::Tensor guide(const GuidanceConfig& config, const at::Tensor& conditional, const at::Tensor& unconditional);
// Whether the unconditional output matters: otherwise its forward pass can be left out.
bool guidance_needs_unconditional(const GuidanceConfig& config);

}  // namespace linden
