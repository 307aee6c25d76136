#include "diffusion/guidance.h"

#include <ATen/ATen.h>

#include "core/error.h"

namespace linden {
namespace {

// w of u_plus.
double scale_from_unconditional(const GuidanceConfig& config) {
  check(config.convention == "u_plus" || config.convention == "c_plus", "guidance: convention is '{}', wanted 'u_plus' or 'c_plus'", config.convention);
  return config.convention == "u_plus" ? config.scale : config.scale + 1.0;
}

}  // namespace

void visit_fields(FieldVisitor& v, GuidanceConfig& c) {
  visit(v, Field("convention", "u_plus: u + w (c - u); c_plus: c + w (c - u)").one_of({"u_plus", "c_plus"}), c.convention);
  visit(v, Field("scale", "w; the conditional model alone is 1 in u_plus, 0 in c_plus").at_least(0), c.scale);
}

at::Tensor guide(const GuidanceConfig& config, const at::Tensor& conditional, const at::Tensor& unconditional) {
  check(conditional.sizes() == unconditional.sizes(), "guidance: the conditional output has {} elements, the unconditional one {}; wanted one shape",
        conditional.numel(), unconditional.numel());
  if (!guidance_needs_unconditional(config)) return conditional;
  if (config.convention == "u_plus") return unconditional + config.scale * (conditional - unconditional);
  return conditional + config.scale * (conditional - unconditional);
}

bool guidance_needs_unconditional(const GuidanceConfig& config) { return scale_from_unconditional(config) != 1.0; }

}  // namespace linden
