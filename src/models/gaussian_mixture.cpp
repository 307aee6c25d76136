// The Gaussian mixture of closed_form.h and its log-ratio reward.
//   p_t = sum_k weight_k N(a mean_k, v I),  v = a^2 sigma^2 + s^2,  eps = s (x - a sum_k gamma_k mean_k) / v
// with gamma the posterior of the mode.
#include <ATen/core/grad_mode.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

#include "core/error.h"
#include "core/random.h"
#include "models/closed_form.h"

namespace linden {
namespace {

constexpr int64_t kMaxModes = 64;

at::Tensor means_tensor(const MixtureModes& modes) {
  std::vector<double> flat;
  for (const Point2& mean : modes.means) flat.insert(flat.end(), mean.begin(), mean.end());
  return at::tensor(flat, at::kDouble).view({-1, 2});
}

std::vector<double> logs_of(const std::vector<double>& values) {
  std::vector<double> logs;
  for (const double value : values) logs.push_back(std::log(value));
  return logs;
}

void check_modes(const MixtureModes& modes) {
  check(modes.size() >= 1 && modes.size() <= kMaxModes, "Gaussian mixture: {} modes, allowed 1..{}", modes.size(), kMaxModes);
  check(modes.weights.size() == modes.means.size(), "Gaussian mixture: {} weights for {} means", modes.weights.size(), modes.means.size());
  check(modes.sigma > 0, "Gaussian mixture: sigma is {}, wanted above 0", modes.sigma);
  double sum = 0;
  for (const double weight : modes.weights) {
    check(weight > 0, "Gaussian mixture: weight {}, wanted above 0", weight);
    sum += weight;
  }
  check(std::abs(sum - 1) < 1e-9, "Gaussian mixture: the weights sum to {}, wanted 1", sum);
}

// n draws of a mode by `masses`, then of its Gaussian. [n, 2] fp32.
at::Tensor draw(const MixtureModes& modes, const std::vector<double>& masses, int64_t n, uint64_t seed) {
  at::Tensor points = at::empty({n, 2}, at::kFloat);
  float* out = points.mutable_data_ptr<float>();
  for (int64_t i = 0; i < n; ++i) {
    RandomStream stream(seed, Purpose::kData, static_cast<uint64_t>(i));
    double left = stream.uniform();
    size_t k = 0;
    while (k + 1 < masses.size() && left >= masses[k]) left -= masses[k++];
    for (int j = 0; j < 2; ++j) out[2 * i + j] = static_cast<float>(modes.means[k][j] + modes.sigma * stream.normal());
  }
  return points;
}

// log sum exp of a short list.
double log_sum(const double* logits, int64_t count) {
  const double top = *std::max_element(logits, logits + count);
  double sum = 0;
  for (int64_t k = 0; k < count; ++k) sum += std::exp(logits[k] - top);
  return top + std::log(sum);
}

}  // namespace

MixtureModes ring_of_modes(int64_t num_modes, double radius, double sigma) {
  MixtureModes modes;
  modes.sigma = sigma;
  for (int64_t k = 0; k < num_modes; ++k) {
    const double angle = 2 * std::numbers::pi * static_cast<double>(k) / static_cast<double>(num_modes);
    modes.means.push_back({radius * std::cos(angle), radius * std::sin(angle)});
  }
  modes.weights.assign(num_modes, 1.0 / static_cast<double>(num_modes));
  return modes;
}

GaussianMixture::GaussianMixture(MixtureModes modes, const std::vector<double>& alpha_bar, at::Device device)
    : ClosedFormPrior(alpha_bar, device),
      modes_(std::move(modes)) {
  check_modes(modes_);
  log_weights_ = logs_of(modes_.weights);
  means_table_ = means_tensor(modes_).to(device);
  log_weight_table_ = at::tensor(log_weights_, at::kDouble).to(device);
}

at::Tensor GaussianMixture::sample(int64_t n, uint64_t seed) const { return draw(modes_, modes_.weights, n, seed); }

void GaussianMixture::noise_row(const double* x, double a, double s, double* eps) const {
  const int64_t K = modes_.size();
  const double variance = a * a * modes_.sigma * modes_.sigma + s * s;
  double logits[kMaxModes];
  for (int64_t k = 0; k < K; ++k) {
    const double dx = x[0] - a * modes_.means[k][0], dy = x[1] - a * modes_.means[k][1];
    logits[k] = log_weights_[k] - (dx * dx + dy * dy) / (2 * variance);
  }
  const double top = *std::max_element(logits, logits + K);
  double sum = 0, mean_x = 0, mean_y = 0;
  for (int64_t k = 0; k < K; ++k) {
    if (logits[k] < top - 40) continue;  // below one part in 1e17
    const double gamma = std::exp(logits[k] - top);
    sum += gamma;
    mean_x += gamma * modes_.means[k][0];
    mean_y += gamma * modes_.means[k][1];
  }
  eps[0] = s * (x[0] - a * mean_x / sum) / variance;
  eps[1] = s * (x[1] - a * mean_y / sum) / variance;
}

at::Tensor GaussianMixture::mode_logits(const at::Tensor& x, const at::Tensor& a, const at::Tensor& variance) const {
  const at::Tensor offsets = x.unsqueeze(1) - a.unsqueeze(1) * means_table_;  // [B, K, 2]
  return log_weight_table_ - offsets.square().sum(-1) / (2 * variance);
}

at::Tensor GaussianMixture::noise_of(const at::Tensor& x, const at::Tensor& a, const at::Tensor& s) const {
  const at::Tensor variance = a.square() * (modes_.sigma * modes_.sigma) + s.square();  // [B, 1]
  const at::Tensor gamma = mode_logits(x, a, variance).softmax(1);
  return s * (x - a * gamma.matmul(means_table_)) / variance;
}

at::Tensor GaussianMixture::log_density_of(const at::Tensor& x, const at::Tensor& a, const at::Tensor& s) const {
  const at::Tensor variance = a.square() * (modes_.sigma * modes_.sigma) + s.square();
  const at::Tensor normaliser = (2 * std::numbers::pi * variance).log().squeeze(1);
  return at::logsumexp(mode_logits(x, a, variance), 1) - normaliser;
}

MixtureReward::MixtureReward(MixtureModes modes, std::vector<double> mode_weights) : modes_(std::move(modes)) {
  check_modes(modes_);
  if (mode_weights.empty()) {
    for (int64_t k = 1; k <= modes_.size(); ++k) log_mode_weights_.push_back(1.5 * static_cast<double>(k));
    return;
  }
  check(mode_weights.size() == modes_.means.size(), "mixture reward: {} weights for {} modes", mode_weights.size(), modes_.means.size());
  for (const double weight : mode_weights) check(weight > 0, "mixture reward: weight {}, wanted above 0", weight);
  log_mode_weights_ = logs_of(mode_weights);
}

at::Tensor MixtureReward::operator()(const at::Tensor& x) const { return soft_value(x, 1.0); }

at::Tensor MixtureReward::soft_value(const at::Tensor& x, double alpha_bar) const {
  check(x.dim() == 2 && x.size(1) == 2, "mixture reward: x has {} dimensions, wanted [B, 2]", x.dim());
  const double a = std::sqrt(alpha_bar), variance = alpha_bar * modes_.sigma * modes_.sigma + 1 - alpha_bar;
  const int64_t K = modes_.size();
  if (x.is_cpu() && x.scalar_type() == at::kFloat && !(at::GradMode::is_enabled() && x.requires_grad())) {
    const at::Tensor points = x.contiguous();
    at::Tensor values = at::empty({x.size(0)}, at::kFloat);
    const float* in = points.const_data_ptr<float>();
    float* out = values.mutable_data_ptr<float>();
    for (int64_t b = 0; b < x.size(0); ++b) {
      double plain[kMaxModes], tilted[kMaxModes];
      for (int64_t k = 0; k < K; ++k) {
        const double dx = in[2 * b] - a * modes_.means[k][0], dy = in[2 * b + 1] - a * modes_.means[k][1];
        plain[k] = std::log(modes_.weights[k]) - (dx * dx + dy * dy) / (2 * variance);
        tilted[k] = plain[k] + log_mode_weights_[k];
      }
      out[b] = static_cast<float>(log_sum(tilted, K) - log_sum(plain, K));
    }
    return values;
  }
  const at::Tensor means = means_tensor(modes_).to(x.device());
  const at::Tensor log_prior = at::tensor(logs_of(modes_.weights), at::kDouble).to(x.device());
  const at::Tensor log_tilt = at::tensor(log_mode_weights_, at::kDouble).to(x.device());
  const at::Tensor offsets = x.to(at::kDouble).unsqueeze(1) - a * means;  // [B, K, 2]
  const at::Tensor logits = log_prior - offsets.square().sum(-1) / (2 * variance);
  return (at::logsumexp(logits + log_tilt, 1) - at::logsumexp(logits, 1)).to(x.scalar_type());
}

double MixtureReward::root_value() const {
  std::vector<double> logits = logs_of(modes_.weights);
  for (size_t k = 0; k < logits.size(); ++k) logits[k] += log_mode_weights_[k];
  return log_sum(logits.data(), modes_.size());
}

std::vector<double> MixtureReward::target_masses() const {
  const double root = root_value();
  std::vector<double> masses;
  for (size_t k = 0; k < modes_.weights.size(); ++k) masses.push_back(modes_.weights[k] * std::exp(log_mode_weights_[k] - root));
  return masses;
}

at::Tensor MixtureReward::sample_target(int64_t n, uint64_t seed) const { return draw(modes_, target_masses(), n, seed); }

}  // namespace linden
