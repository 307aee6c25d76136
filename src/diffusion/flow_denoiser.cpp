#include "diffusion/flow_denoiser.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "core/error.h"
#include "diffusion/flow_sde.h"

namespace linden {
namespace {

class FlowDenoiser final : public Denoiser {
 public:
  FlowDenoiser(FlowNetwork network, const FlowSampler& sampler, const FlowSamplerConfig& config)
      : network_(std::move(network)),
        num_levels_(sampler.num_steps()) {
    const FlowSchedule& schedule = sampler.schedule();
    const auto size = static_cast<size_t>(num_levels_) + 1;
    std::vector<float> timestep(size), sigma(size), sigma_next(size), deviation(size), kept(size);  // by level; 0 is unused
    const auto* sde = std::get_if<FlowSdeConfig>(&config);
    for (size_t level = 1; level < size; ++level) {
      const size_t i = size - 1 - level;
      timestep[level] = schedule.timestep[i];
      sigma[level] = schedule.sigma[i];
      sigma_next[level] = schedule.sigma[i + 1];
      const FlowNoiseSplit split = sde ? split_flow_noise(*sde, sigma[level], sigma_next[level]) : FlowNoiseSplit{0, sigma_next[level]};
      deviation[level] = static_cast<float>(split.deviation);
      kept[level] = static_cast<float>(split.kept);
    }
    const auto on_device = [&](const std::vector<float>& column) { return at::tensor(column, at::kFloat).to(network_.device); };
    timestep_ = on_device(timestep);
    sigma_ = on_device(sigma);
    sigma_next_ = on_device(sigma_next);
    deviation_ = on_device(deviation);
    kept_ = on_device(kept);
  }

  StateSpec state() const override { return {network_.shape, at::kFloat}; }
  int64_t num_levels() const override { return num_levels_; }
  at::Device device() const override { return network_.device; }
  bool differentiable() const override { return true; }
  int64_t network_calls_per_step() const override { return network_.network_calls; }
  at::Tensor initial(const at::Tensor& noise) const override { return noise; }  // sigma is 1, or within 0.1 % of it

  Transition step(const at::Tensor& state, const at::Tensor& levels, const at::Tensor& noise, bool details) const override {
    check(state.dim() == static_cast<int64_t>(network_.shape.size()) + 1 && state.sizes() == noise.sizes() && levels.numel() == state.size(0),
          "FlowDenoiser::step: state has {} rows of {} elements, noise {} elements, levels {}", state.size(0), state.numel(), noise.numel(), levels.numel());
    const at::Tensor velocity = velocity_of(state, levels), sigma = column(sigma_, levels);
    const at::Tensor clean = state - sigma * velocity, eps = state + (1 - sigma) * velocity;
    Transition out;
    // (1 - sigma') x0 + kept eps; where all is kept this is x + (sigma' - sigma) u.
    const at::Tensor mean = (1 - column(sigma_next_, levels)) * clean + column(kept_, levels) * eps;
    out.next = at::addcmul(mean, column(deviation_, levels), noise);
    if (!details) return out;
    out.mean = mean;
    out.deviation = deviation_.index_select(0, levels);
    out.predicted_clean = clean;
    return out;
  }

  at::Tensor predict_clean(const at::Tensor& state, const at::Tensor& levels) const override {
    return state - column(sigma_, levels) * velocity_of(state, levels);
  }

 private:
  at::Tensor velocity_of(const at::Tensor& state, const at::Tensor& levels) const { return network_.velocity(state, timestep_.index_select(0, levels)); }
  at::Tensor column(const at::Tensor& table, const at::Tensor& levels) const {  // [B, 1, ...]
    std::vector<int64_t> shape(network_.shape.size() + 1, 1);
    shape[0] = levels.size(0);
    return table.index_select(0, levels).view(shape);
  }

  FlowNetwork network_;
  int64_t num_levels_;
  at::Tensor timestep_, sigma_, sigma_next_, deviation_, kept_;  // [S + 1] on the device
};

}  // namespace

std::shared_ptr<Denoiser> make_flow_denoiser(FlowNetwork network, const FlowSamplerConfig& config) {
  const std::string type = std::visit([](const auto& c) { return std::string(c.kType); }, config);
  check_input(type == FlowEulerConfig::kType || type == FlowSdeConfig::kType,
              "sampler.type {} remembers earlier steps, so its states form no tree and take no own levels; use {} or {}", type, FlowEulerConfig::kType,
              FlowSdeConfig::kType);
  return std::make_shared<FlowDenoiser>(std::move(network), FlowSampler(config), config);
}

}  // namespace linden
