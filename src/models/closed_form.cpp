#include "models/closed_form.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/tensor.h>
#include <fmt/ranges.h>

#include <cmath>

#include "core/error.h"

namespace linden {

ClosedFormPrior::ClosedFormPrior(const std::vector<double>& alpha_bar, at::Device device) : device_(device) {
  check(!alpha_bar.empty(), "closed-form prior: the alpha_bar table is empty");
  for (const double value : alpha_bar) {
    check(value > 0 && value < 1, "closed-form prior: alpha_bar is {}, wanted between 0 and 1", value);
    a_.push_back(std::sqrt(value));
    s_.push_back(std::sqrt(1 - value));
  }
  a_table_ = at::tensor(a_, at::kDouble).to(device);
  s_table_ = at::tensor(s_, at::kDouble).to(device);
}

template <class Number>
void ClosedFormPrior::noise_rows(const at::Tensor& x, const at::Tensor& timesteps, at::Tensor& eps) const {
  const Number* in = x.const_data_ptr<Number>();
  const int64_t* t = timesteps.const_data_ptr<int64_t>();
  Number* out = eps.mutable_data_ptr<Number>();
  const int64_t count = x.size(0), num_steps = static_cast<int64_t>(a_.size());
  for (int64_t b = 0; b < count; ++b) {
    check(t[b] >= 0 && t[b] < num_steps, "closed-form prior: timestep {} in row {}, allowed 0..{}", t[b], b, num_steps - 1);
    const double point[2] = {static_cast<double>(in[2 * b]), static_cast<double>(in[2 * b + 1])};
    double noise[2];
    noise_row(point, a_[t[b]], s_[t[b]], noise);
    out[2 * b] = static_cast<Number>(noise[0]);
    out[2 * b + 1] = static_cast<Number>(noise[1]);
  }
}

std::pair<at::Tensor, at::Tensor> ClosedFormPrior::coefficients(const at::Tensor& timesteps) const {
  return {a_table_.index_select(0, timesteps).unsqueeze(1), s_table_.index_select(0, timesteps).unsqueeze(1)};
}

at::Tensor ClosedFormPrior::predict_noise(const at::Tensor& x, const at::Tensor& timesteps) {
  check(x.dim() == 2 && x.size(1) == 2 && timesteps.dim() == 1 && timesteps.size(0) == x.size(0),
        "closed-form prior: x is [{}] and timesteps [{}], wanted [B, 2] and [B]", fmt::join(x.sizes(), ", "), fmt::join(timesteps.sizes(), ", "));
  const at::ScalarType dtype = x.scalar_type();
  const bool wants_gradient = at::GradMode::is_enabled() && x.requires_grad();
  if (x.is_cpu() && !wants_gradient && (dtype == at::kFloat || dtype == at::kDouble)) {
    at::Tensor eps = at::empty_like(x, at::MemoryFormat::Contiguous);
    const at::Tensor points = x.contiguous(), steps = timesteps.to(at::kLong).contiguous();
    if (dtype == at::kFloat) {
      noise_rows<float>(points, steps, eps);
    } else {
      noise_rows<double>(points, steps, eps);
    }
    return eps;
  }
  const auto [a, s] = coefficients(timesteps);
  return noise_of(x.to(at::kDouble), a, s).to(dtype);
}

at::Tensor ClosedFormPrior::log_density(const at::Tensor& x, const at::Tensor& timesteps) const {
  const auto [a, s] = coefficients(timesteps);
  return log_density_of(x.to(at::kDouble), a, s);
}

}  // namespace linden
