#include "diffusion/flow_unipc.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

namespace linden {
namespace {

// One interval of the grid, from sigma[from] to sigma[from + 1], in fp32 and in the reference's order of operations.
struct Interval {
  Interval(const FlowSchedule& schedule, size_t from) {
    const float start = schedule.sigma[from], end = schedule.sigma[from + 1];
    h = flow_log_snr(end) - flow_log_snr(start);
    alpha = 1.0f - end;
    b = std::expm1(-h);
    ratio = end / start;
    if (from > 0) r = (flow_log_snr(schedule.sigma[from - 1]) - flow_log_snr(start)) / h;
  }
  at::Tensor base(const at::Tensor& x, const at::Tensor& clean) const { return ratio * x - (alpha * b) * clean; }
  float h, alpha, b, ratio;
  float r = 0;  // where there is an interval before
};

at::Tensor predict(const Interval& step, int64_t order, const FlowHistory& history, const at::Tensor& x, const at::Tensor& clean) {
  const at::Tensor base = step.base(x, clean);
  if (order == 1) return base;
  return base - (step.alpha * step.b) * (0.5f * ((history.clean - clean) / step.r));
}

at::Tensor correct(const Interval& step, const FlowHistory& history, const at::Tensor& clean) {
  const at::Tensor base = step.base(history.sample, history.clean), change = clean - history.clean;
  const float scale = step.alpha * step.b;
  if (history.order == 1) return base - scale * (0.5f * change);
  // rho_1 + rho_2 = b_1, r rho_1 + rho_2 = b_2
  const float phi_1 = step.b / -step.h - 1.0f, phi_2 = phi_1 / -step.h - 0.5f;
  const float b_1 = phi_1 / step.b, b_2 = phi_2 * 2.0f / step.b;
  const float rho_1 = (b_1 - b_2) / (1.0f - step.r), rho_2 = b_1 - rho_1;
  return base - scale * (rho_1 * ((history.clean_before - history.clean) / step.r) + rho_2 * change);
}

}  // namespace

float flow_log_snr(float sigma) { return std::log(1.0f - sigma) - std::log(sigma); }

UniPCStep unipc_step(const FlowSchedule& schedule, const FlowHistory& history, int64_t order, const at::Tensor& x, const at::Tensor& clean) {
  const auto i = static_cast<size_t>(history.step);
  UniPCStep out;
  out.corrected = i == 0 ? x : correct(Interval(schedule, i - 1), history, clean);
  out.order = std::min({order, schedule.num_steps() - history.step, history.step + 1});
  out.next = predict(Interval(schedule, i), out.order, history, out.corrected, clean);
  return out;
}

}  // namespace linden
