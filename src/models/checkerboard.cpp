// The checkerboard of closed_form.h and its reward.
//
// The noisy density is a sum over filled squares of products of interval masses: with u(edge) = (x - a edge) / s,
//   G_i(x) = Phi(u(low_i)) - Phi(u(high_i)),     p_t(x, y) = 1 / (32 a^2) sum_{i+j even} G_i(x) G_j(y)
//   eps = -s grad log p_t = -(sum gamma_ij H_i(x), sum gamma_ij H_j(y)),   H_i = (phi(u_low) - phi(u_high)) / G_i
// Far from an interval G underflows and the difference cancels, so log G and H are formed from
//   Phi(b) - Phi(c) = e^{-b^2/2} (erfcx(-b/sqrt2) - erfcx(-c/sqrt2) e^{(b^2-c^2)/2}) / 2      (c < b <= 0),
// mirrored where b + c > 0.
#include <ATen/ops/exp.h>
#include <ATen/ops/log1p.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/special_log_ndtr.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/where.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "core/error.h"
#include "core/random.h"
#include "models/closed_form.h"

namespace linden {
namespace {

constexpr double kEdges[5] = {-4, -2, 0, 2, 4};
constexpr double kArea = 32;  // of the eight squares
const double kInverseSqrt2Pi = 1 / std::sqrt(2 * std::numbers::pi);
const double kLogSqrt2Pi = 0.5 * std::log(2 * std::numbers::pi);

bool filled(int64_t column, int64_t row) { return (column + row) % 2 == 0; }

// e^{z^2} erfc(z) for z >= 0. Abramowitz and Stegun 7.1.23 where erfc would underflow.
double scaled_erfc(double z) {
  if (z < 20) return std::exp(z * z) * std::erfc(z);
  const double q = 1 / (2 * z * z);
  return (1 - q * (1 - 3 * q * (1 - 5 * q * (1 - 7 * q)))) / (z * std::sqrt(std::numbers::pi));
}

struct Interval {
  double log_mass;  // log G
  double ratio;     // H
};

// G and H of an interval: low > high are u at its lower and upper edge (u falls as the edge rises).
Interval interval_of(double low, double high) {
  const bool mirrored = low + high > 0;
  const double b = mirrored ? -high : low, c = mirrored ? -low : high;  // c < b, c + b <= 0
  const double decay = std::exp(0.5 * (b - c) * (b + c));               // phi(c) / phi(b)
  Interval result;
  if (b <= 0) {
    const double bracket = 0.5 * (scaled_erfc(-b / std::numbers::sqrt2) - scaled_erfc(-c / std::numbers::sqrt2) * decay);
    result.log_mass = -0.5 * b * b + std::log(bracket);
    result.ratio = kInverseSqrt2Pi * (1 - decay) / bracket;
  } else {
    const double mass = 0.5 * (std::erf(b / std::numbers::sqrt2) - std::erf(c / std::numbers::sqrt2));
    result.log_mass = std::log(mass);
    result.ratio = kInverseSqrt2Pi * std::exp(-0.5 * b * b) * (1 - decay) / mass;
  }
  if (mirrored) result.ratio = -result.ratio;
  return result;
}

// The four intervals of one coordinate, differentiable. value: [B]; edges: [5]; a, s: [B, 1]. Returns log G and H, [B,
// 4].
std::pair<at::Tensor, at::Tensor> intervals_of(const at::Tensor& value, const at::Tensor& edges, const at::Tensor& a, const at::Tensor& s) {
  const at::Tensor u = (value.unsqueeze(1) - a * edges) / s;  // [B, 5]
  const at::Tensor low = u.narrow(1, 0, 4), high = u.narrow(1, 1, 4);
  const at::Tensor mirrored = (low + high) > 0;
  const at::Tensor b = at::where(mirrored, -high, low), c = at::where(mirrored, -low, high);
  const at::Tensor log_b = at::special_log_ndtr(b), log_c = at::special_log_ndtr(c);
  const at::Tensor log_mass = log_b + at::log1p(-at::exp(log_c - log_b));
  const at::Tensor ratio = at::exp(-0.5 * b.square() - kLogSqrt2Pi - log_mass) - at::exp(-0.5 * c.square() - kLogSqrt2Pi - log_mass);
  return {log_mass, at::where(mirrored, -ratio, ratio)};
}

// Integral of e^{-x^2/2} over [low, high].
double half_normal_mass(double low, double high) {
  return std::sqrt(std::numbers::pi / 2) * (std::erf(high / std::numbers::sqrt2) - std::erf(low / std::numbers::sqrt2));
}

// A draw from e^{-x^2/2} on [low, low + 2], low in {-4, -2, 0, 2}: rejection from the exponential that touches
// the density at the end nearer to zero (from the uniform where that end is zero).
double truncated_normal(double low, RandomStream& stream) {
  const bool mirrored = low < 0;
  const double start = mirrored ? -(low + 2) : low;  // 0 or 2: the end nearer to zero
  while (true) {
    // Proposal density e^{-rate (x - start)} on [start, start + 2], by inversion.
    const double rate = start;
    const double u = stream.uniform();
    const double offset = rate == 0 ? 2 * u : -std::log1p(-u * (1 - std::exp(-2 * rate))) / rate;
    // Target / proposal, up to a constant: e^{-(start + offset)^2/2 + rate offset} = const e^{-offset^2/2}.
    if (stream.uniform() < std::exp(-0.5 * offset * offset)) return mirrored ? -(start + offset) : start + offset;
  }
}

}  // namespace

const std::array<Point2, 8>& checkerboard_squares() {
  static const std::array<Point2, 8> squares = [] {
    std::array<Point2, 8> result;
    size_t next = 0;
    for (int64_t column = 0; column < 4; ++column) {
      for (int64_t row = 0; row < 4; ++row) {
        if (filled(column, row)) result[next++] = {kEdges[column], kEdges[row]};
      }
    }
    return result;
  }();
  return squares;
}

Checkerboard::Checkerboard(const std::vector<double>& alpha_bar, at::Device device) : ClosedFormPrior(alpha_bar, device) {
  edges_ = at::tensor(std::vector<double>(std::begin(kEdges), std::end(kEdges)), at::kDouble).to(device);
  std::vector<double> mask;
  for (int64_t column = 0; column < 4; ++column) {
    for (int64_t row = 0; row < 4; ++row) mask.push_back(filled(column, row) ? 0 : -std::numeric_limits<double>::infinity());
  }
  square_mask_ = at::tensor(mask, at::kDouble).view({4, 4}).to(device);
}

at::Tensor Checkerboard::sample(int64_t n, uint64_t seed) const {
  at::Tensor points = at::empty({n, 2}, at::kFloat);
  float* out = points.mutable_data_ptr<float>();
  for (int64_t i = 0; i < n; ++i) {
    RandomStream stream(seed, Purpose::kData, static_cast<uint64_t>(i));
    const Point2& corner = checkerboard_squares()[stream.below(8)];
    for (int j = 0; j < 2; ++j) out[2 * i + j] = static_cast<float>(corner[j] + 2 * stream.uniform());
  }
  return points;
}

void Checkerboard::noise_row(const double* x, double a, double s, double* eps) const {
  Interval intervals[2][4];
  for (int d = 0; d < 2; ++d) {
    for (int i = 0; i < 4; ++i) intervals[d][i] = interval_of((x[d] - a * kEdges[i]) / s, (x[d] - a * kEdges[i + 1]) / s);
  }
  double top = -std::numeric_limits<double>::infinity();
  for (int i = 0; i < 4; ++i) {
    for (int j = i % 2; j < 4; j += 2) top = std::max(top, intervals[0][i].log_mass + intervals[1][j].log_mass);
  }
  double sum = 0;
  eps[0] = eps[1] = 0;
  for (int i = 0; i < 4; ++i) {
    for (int j = i % 2; j < 4; j += 2) {
      const double exponent = intervals[0][i].log_mass + intervals[1][j].log_mass - top;
      if (exponent < -40) continue;  // below one part in 1e17
      const double gamma = std::exp(exponent);
      sum += gamma;
      eps[0] -= gamma * intervals[0][i].ratio;
      eps[1] -= gamma * intervals[1][j].ratio;
    }
  }
  eps[0] /= sum;
  eps[1] /= sum;
}

at::Tensor Checkerboard::noise_of(const at::Tensor& x, const at::Tensor& a, const at::Tensor& s) const {
  const auto [log_x, ratio_x] = intervals_of(x.select(1, 0), edges_, a, s);
  const auto [log_y, ratio_y] = intervals_of(x.select(1, 1), edges_, a, s);
  const at::Tensor joint = log_x.unsqueeze(2) + log_y.unsqueeze(1) + square_mask_;  // [B, 4, 4]
  const at::Tensor gamma = joint.flatten(1).softmax(1).view_as(joint);
  return -at::stack({(gamma.sum(2) * ratio_x).sum(1), (gamma.sum(1) * ratio_y).sum(1)}, 1);
}

at::Tensor Checkerboard::log_density_of(const at::Tensor& x, const at::Tensor& a, const at::Tensor& s) const {
  const at::Tensor log_x = intervals_of(x.select(1, 0), edges_, a, s).first;
  const at::Tensor log_y = intervals_of(x.select(1, 1), edges_, a, s).first;
  const at::Tensor joint = log_x.unsqueeze(2) + log_y.unsqueeze(1) + square_mask_;
  return at::logsumexp(joint.flatten(1), 1) - (kArea * a.square()).log().squeeze(1);
}

at::Tensor CheckerboardReward::operator()(const at::Tensor& x) const {
  check(x.dim() == 2 && x.size(1) == 2, "checkerboard reward: x has {} dimensions, wanted [B, 2]", x.dim());
  return -0.5 * x.square().sum(1);
}

double CheckerboardReward::root_value() const {
  double sum = 0;
  for (const Point2& corner : checkerboard_squares()) sum += half_normal_mass(corner[0], corner[0] + 2) * half_normal_mass(corner[1], corner[1] + 2);
  return std::log(sum / kArea);
}

std::vector<double> CheckerboardReward::target_masses() const {
  const double total = kArea * std::exp(root_value());
  std::vector<double> masses;
  for (const Point2& corner : checkerboard_squares())
    masses.push_back(half_normal_mass(corner[0], corner[0] + 2) * half_normal_mass(corner[1], corner[1] + 2) / total);
  return masses;
}

at::Tensor CheckerboardReward::sample_target(int64_t n, uint64_t seed) const {
  const std::vector<double> masses = target_masses();
  at::Tensor points = at::empty({n, 2}, at::kFloat);
  float* out = points.mutable_data_ptr<float>();
  for (int64_t i = 0; i < n; ++i) {
    RandomStream stream(seed, Purpose::kData, static_cast<uint64_t>(i));
    double left = stream.uniform();
    size_t k = 0;
    while (k + 1 < masses.size() && left >= masses[k]) left -= masses[k++];
    for (int j = 0; j < 2; ++j) out[2 * i + j] = static_cast<float>(truncated_normal(checkerboard_squares()[k][j], stream));
  }
  return points;
}

}  // namespace linden
