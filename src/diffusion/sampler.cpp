#include "diffusion/sampler.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace linden {
namespace {

const std::vector<std::string> kSpacings = {"leading", "trailing", "linspace"};

// Timesteps from the noisiest down, as diffusers' set_timesteps.
std::vector<int64_t> timesteps(const std::string& spacing, int64_t num_steps, int64_t offset, int64_t num_train) {
  check_input(num_steps >= 1 && num_steps <= num_train, "sampler.num_steps is {}, but the schedule has {} training steps (allowed 1..{})", num_steps, num_train,
              num_train);
  std::vector<int64_t> steps;
  for (int64_t k = num_steps - 1; k >= 0; --k) {
    int64_t t = 0;
    if (spacing == "leading") t = k * (num_train / num_steps) + offset;
    else if (spacing == "trailing")
      t = std::llrint(static_cast<double>(num_train) -
                      static_cast<double>(num_steps - 1 - k) * static_cast<double>(num_train) / static_cast<double>(num_steps)) -
          1;
    else t = num_steps == 1 ? 0 : std::llrint(static_cast<double>(k) * static_cast<double>(num_train - 1) / static_cast<double>(num_steps - 1));
    check_input(t < num_train, "sampler.steps_offset {} moves timestep {} past the schedule's last one, {}", offset, t, num_train - 1);
    steps.push_back(t);
  }
  return steps;
}

StepTable empty_table(int64_t num_levels, bool clip, double range) {
  StepTable table;
  const auto size = static_cast<size_t>(num_levels + 1);
  table.timestep.assign(size, 0);
  for (auto* column : {&table.a, &table.b, &table.c, &table.d, &table.e, &table.sigma}) column->assign(size, 0.0f);
  table.clip = clip;
  table.clip_range = static_cast<float>(range);
  return table;
}

// The coefficients are computed in fp32, as the reference does: near t = 0, 1 - alpha_bar cancels, and only the same
// rounding gives the same step.
void set_clean_estimate(StepTable& table, size_t level, int64_t t, float alpha_bar) {
  table.timestep[level] = t;
  table.a[level] = 1.0f / std::sqrt(alpha_bar);
  table.b[level] = -std::sqrt(1.0f - alpha_bar);
}

float alpha_bar_at(const NoiseSchedule& schedule, int64_t t) { return static_cast<float>(schedule.alpha_bar[t]); }

StepTable table_of(const DdimConfig& config, const NoiseSchedule& schedule) {
  const int64_t train = schedule.num_train_steps();
  const auto steps = timesteps(config.spacing, config.num_steps, config.steps_offset, train);
  StepTable table = empty_table(config.num_steps, config.clip_sample, config.clip_range);
  for (size_t i = 0; i < steps.size(); ++i) {
    const size_t level = steps.size() - i;
    const int64_t t = steps[i], previous = t - train / config.num_steps;
    const float now = alpha_bar_at(schedule, t);
    const float then = previous >= 0 ? alpha_bar_at(schedule, previous) : config.set_alpha_to_one ? 1.0f : alpha_bar_at(schedule, 0);
    const float sigma = static_cast<float>(config.eta) * std::sqrt((1.0f - then) / (1.0f - now) * (1.0f - now / then));
    set_clean_estimate(table, level, t, now);
    table.c[level] = std::sqrt(then);
    table.d[level] = std::sqrt(std::max(0.0f, 1.0f - then - sigma * sigma));
    table.sigma[level] = sigma;
  }
  return table;
}

StepTable table_of(const DdpmConfig& config, const NoiseSchedule& schedule) {
  const int64_t train = schedule.num_train_steps();
  const auto steps = timesteps(config.spacing, config.num_steps, config.steps_offset, train);
  StepTable table = empty_table(config.num_steps, config.clip_sample, config.clip_range);
  for (size_t i = 0; i < steps.size(); ++i) {
    const size_t level = steps.size() - i;
    const int64_t t = steps[i], previous = t - train / config.num_steps;
    const float now = alpha_bar_at(schedule, t), then = previous >= 0 ? alpha_bar_at(schedule, previous) : 1.0f;
    const float alpha = now / then, beta = 1.0f - alpha;
    set_clean_estimate(table, level, t, now);
    table.c[level] = std::sqrt(then) * beta / (1.0f - now);
    table.e[level] = std::sqrt(alpha) * (1.0f - then) / (1.0f - now);
    const float variance = config.variance == "fixed_large" ? beta : std::max(1e-20f, (1.0f - then) / (1.0f - now) * beta);
    table.sigma[level] = t > 0 ? std::sqrt(variance) : 0.0f;
  }
  return table;
}

class SampledDenoiser final : public Denoiser {
 public:
  SampledDenoiser(std::shared_ptr<NoisePredictor> network, StepTable table)
      : network_(std::move(network)),
        table_(std::move(table)),
        state_{network_->shape(), at::kFloat} {
    const auto on_device = [&](const auto& column, at::ScalarType type) { return at::tensor(column, at::TensorOptions().dtype(type)).to(network_->device()); };
    timestep_ = on_device(table_.timestep, at::kLong);
    a_ = on_device(table_.a, at::kFloat);
    b_ = on_device(table_.b, at::kFloat);
    c_ = on_device(table_.c, at::kFloat);
    d_ = on_device(table_.d, at::kFloat);
    e_ = on_device(table_.e, at::kFloat);
    sigma_ = on_device(table_.sigma, at::kFloat);
  }

  StateSpec state() const override { return state_; }
  int64_t num_levels() const override { return table_.num_levels(); }
  at::Device device() const override { return network_->device(); }
  bool differentiable() const override { return true; }
  at::Tensor initial(const at::Tensor& noise) const override { return noise; }

  Transition step(const at::Tensor& state, const at::Tensor& levels, const at::Tensor& noise, bool details) const override {
    check(state.dim() == static_cast<int64_t>(state_.shape.size()) + 1 && state.sizes() == noise.sizes() && levels.numel() == state.size(0),
          "Denoiser::step: state has {} rows of {} elements, noise {} elements, levels {}", state.size(0), state.numel(), noise.numel(), levels.numel());
    const at::Tensor eps = network_->predict_noise(state, timestep_.index_select(0, levels));
    if (!details && state.is_cpu() && !at::GradMode::is_enabled()) return {step_on_cpu(state, eps, noise, levels), {}, {}, {}};
    Transition out;
    const at::Tensor clean = clean_estimate(state, eps, levels);
    out.mean = at::addcmul(column(c_, levels) * clean, column(d_, levels), eps);
    if (has_e()) out.mean = at::addcmul(out.mean, column(e_, levels), state);
    out.next = at::addcmul(out.mean, column(sigma_, levels), noise);
    out.deviation = sigma_.index_select(0, levels);
    out.predicted_clean = clean;
    return out;
  }

  at::Tensor predict_clean(const at::Tensor& state, const at::Tensor& levels) const override {
    return clean_estimate(state, network_->predict_noise(state, timestep_.index_select(0, levels)), levels);
  }

 private:
  bool has_e() const { return table_.e[1] != 0.0f || table_.e.back() != 0.0f; }
  at::Tensor column(const at::Tensor& table, const at::Tensor& levels) const {  // [B, 1, ...]
    std::vector<int64_t> shape(state_.shape.size() + 1, 1);
    shape[0] = levels.size(0);
    return table.index_select(0, levels).view(shape);
  }
  at::Tensor clean_estimate(const at::Tensor& x, const at::Tensor& eps, const at::Tensor& levels) const {
    const at::Tensor clean = column(a_, levels) * at::addcmul(x, column(b_, levels), eps);
    return table_.clip ? clean.clamp(-table_.clip_range, table_.clip_range) : clean;
  }
  // The same arithmetic in one pass: a tree over a closed-form prior makes a million of these calls.
  at::Tensor step_on_cpu(const at::Tensor& state, const at::Tensor& eps, const at::Tensor& noise, const at::Tensor& levels) const {
    const at::Tensor x_rows = state.contiguous(), eps_rows = eps.contiguous(), z_rows = noise.contiguous();
    at::Tensor next = at::empty_like(x_rows);
    const int64_t rows = state.size(0), size = rows ? state.numel() / rows : 0;
    const float *x = x_rows.const_data_ptr<float>(), *e = eps_rows.const_data_ptr<float>(), *z = z_rows.const_data_ptr<float>();
    const int64_t* level = levels.const_data_ptr<int64_t>();
    float* out = next.data_ptr<float>();
    const float range = table_.clip ? table_.clip_range : INFINITY;
    for (int64_t r = 0; r < rows; ++r) {
      const auto l = static_cast<size_t>(level[r]);
      const float a = table_.a[l], b = table_.b[l], c = table_.c[l], d = table_.d[l], ex = table_.e[l], s = table_.sigma[l];
      for (int64_t i = r * size; i < (r + 1) * size; ++i) {
        const float clean = std::clamp(a * (x[i] + b * e[i]), -range, range);
        out[i] = c * clean + d * e[i] + ex * x[i] + s * z[i];
      }
    }
    return next;
  }

  std::shared_ptr<NoisePredictor> network_;
  StepTable table_;
  StateSpec state_;
  at::Tensor timestep_, a_, b_, c_, d_, e_, sigma_;  // [S+1] on the device
};

}  // namespace

void visit_fields(FieldVisitor& v, DdimConfig& c) {
  visit(v, Field("num_steps", "denoising steps S").at_least(1), c.num_steps);
  visit(v, Field("eta", "0: deterministic DDIM, 1: ancestral noise").between(0, 1), c.eta);
  visit(v, Field("clip_sample", "clamp the predicted clean sample"), c.clip_sample);
  visit(v, Field("clip_range", "the clamp's bound").above(0), c.clip_range);
  visit(v, Field("set_alpha_to_one", "the last step's previous alpha_bar is 1 (true) or alpha_bar_0"), c.set_alpha_to_one);
  visit(v, Field("spacing", "how the S timesteps lie in 0..T-1").one_of(kSpacings), c.spacing);
  visit(v, Field("steps_offset", "added to every timestep of the leading spacing").at_least(0), c.steps_offset);
}

void visit_fields(FieldVisitor& v, DdpmConfig& c) {
  visit(v, Field("num_steps", "denoising steps S").at_least(1), c.num_steps);
  visit(v, Field("variance", "posterior variance (fixed_small) or beta (fixed_large)").one_of({"fixed_small", "fixed_large"}), c.variance);
  visit(v, Field("clip_sample", "clamp the predicted clean sample"), c.clip_sample);
  visit(v, Field("clip_range", "the clamp's bound").above(0), c.clip_range);
  visit(v, Field("spacing", "how the S timesteps lie in 0..T-1").one_of(kSpacings), c.spacing);
  visit(v, Field("steps_offset", "added to every timestep of the leading spacing").at_least(0), c.steps_offset);
}

StepTable make_step_table(const SamplerConfig& config, const NoiseSchedule& schedule) {
  return std::visit([&](const auto& c) { return table_of(c, schedule); }, config);
}

std::shared_ptr<Denoiser> make_denoiser(std::shared_ptr<NoisePredictor> network, const NoiseSchedule& schedule, const SamplerConfig& config) {
  return std::make_shared<SampledDenoiser>(std::move(network), make_step_table(config, schedule));
}

}  // namespace linden
