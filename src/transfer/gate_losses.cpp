#include "transfer/gate_losses.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace linden {
namespace {

constexpr double kGamma = -0.1, kZeta = 1.1;

}  // namespace

at::Tensor count_constraint(const at::Tensor& r, int64_t num_linear) {
  check(r.dim() == 1 && r.is_floating_point(), "count constraint: r has {} dimensions, wanted one number a layer", r.dim());
  check(num_linear >= 0 && num_linear <= r.numel(), "count constraint: {} linear layers wanted of {}", num_linear, r.numel());
  const at::Tensor rounded = r + (at::round(r) - r).detach();
  return ((1 - rounded).sum() - static_cast<double>(num_linear)).square();
}

at::Tensor decisiveness(const at::Tensor& r, const at::Tensor& alpha) {
  check(r.dim() == 1 && r.is_floating_point(), "decisiveness: r has {} dimensions, wanted one number a layer", r.dim());
  check(alpha.dim() == 0 && alpha.device() == r.device(), "decisiveness: alpha has {} dimensions on {}, wanted a scalar on r's device, {}", alpha.dim(),
        alpha.device().str(), r.device().str());
  return (1 - (2 * r - 1).abs().pow(alpha.detach())).sum();
}

void visit_fields(FieldVisitor& v, AlphaScheduleConfig& c) {
  visit(v, Field("shape", "of the exponent over the run up to the commit. linear: from start to end; fixed: start").one_of({"linear", "fixed"}), c.shape);
  visit(v, Field("start", "exponent at first; a large one is flat around r = 1/2 and lets r move freely").at_least(1), c.start);
  visit(v, Field("end", "exponent at last; a small one pushes r to 0 or 1, and at 1 the push does not fade near r = 1/2").at_least(1), c.end);
  visit(v, Field("warmup", "share of the schedule in which the regulariser is off").between(0, 1), c.warmup);
}

double alpha_at(const AlphaScheduleConfig& c, double progress) {
  if (c.shape == "fixed" || progress <= c.warmup) return c.start;
  const double share = (std::min(progress, 1.0) - c.warmup) / (1 - c.warmup);
  return c.start + (c.end - c.start) * std::max(share, 0.0);
}

double regulariser_on(const AlphaScheduleConfig& c, double progress) { return progress < c.warmup ? 0.0 : 1.0; }

at::Tensor rectified_sigmoid(const at::Tensor& v) { return (at::sigmoid(v) * (kZeta - kGamma) + kGamma).clamp(0, 1); }

double inverse_rectified_sigmoid(double r0) {
  check(r0 >= 0 && r0 <= 1, "inverse rectified sigmoid: r is {}, wanted 0..1", r0);
  return -std::log((kZeta - kGamma) / (r0 - kGamma) - 1);
}

}  // namespace linden
