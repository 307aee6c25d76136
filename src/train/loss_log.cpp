#include "train/loss_log.h"

#include <ATen/ATen.h>

#include <cmath>
#include <numeric>

#include "core/error.h"

namespace linden {

LossLog::LossLog(int64_t capacity, at::Device device) : values_(at::zeros({capacity, 2}, at::dtype(at::kFloat).device(device))) {}

void LossLog::add(const at::Tensor& loss, const at::Tensor& gradient_norm) {
  check(count_ < values_.size(0), "LossLog: more than {} entries", values_.size(0));
  values_[count_][0].copy_(loss.detach());
  values_[count_][1].copy_(gradient_norm);
  ++count_;
}

void LossLog::require_finite(int64_t last_step, const std::string& checkpoint) const {
  const std::vector<double> all_losses = losses(), all_norms = norms();
  for (size_t i = 0; i < all_losses.size(); ++i) {
    if (std::isfinite(all_losses[i]) && std::isfinite(all_norms[i])) continue;
    const int64_t step = last_step - count_ + 1 + static_cast<int64_t>(i);
    throw std::runtime_error(
        fmt::format("training diverged: at step {} the loss is {} and the gradient norm {}; {}; "
                    "try a lower optimizer.learning_rate, a longer learning_rate.warmup_steps or gradient_clip",
                    step, all_losses[i], all_norms[i], checkpoint));
  }
}

std::vector<double> LossLog::fetch(int64_t column) const {
  const at::Tensor values = values_.slice(0, 0, count_).select(1, column).to(at::kCPU, at::kDouble).contiguous();
  return {values.data_ptr<double>(), values.data_ptr<double>() + count_};
}
std::vector<double> LossLog::losses() const { return fetch(0); }
std::vector<double> LossLog::norms() const { return fetch(1); }

void LossLog::restore(const std::vector<double>& losses, const std::vector<double>& norms) {
  check(losses.size() == norms.size() && static_cast<int64_t>(losses.size()) <= values_.size(0), "LossLog::restore: {} losses, {} norms, room for {}",
        losses.size(), norms.size(), values_.size(0));
  count_ = 0;
  for (size_t i = 0; i < losses.size(); ++i) add(at::scalar_tensor(losses[i]), at::scalar_tensor(norms[i]));
}

double mean(const std::vector<double>& values) {
  return values.empty() ? std::nan("") : std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

}  // namespace linden
