#include "transfer/linear_picture.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace linden {
namespace {

struct Influence {
  double at = 0, error_at = 0;  // solver steps from the first solver time: p and q
  double weight = 1;
};

class Influences {
 public:
  Influences(const FlowSchedule& schedule, const LinearPictureConfig& config) : sigma_(schedule.sigma.begin(), schedule.sigma.end()), config_(config) {}

  std::vector<Influence> of(const MseMatchingConfig&) {
    for (size_t j = 0; j + 1 < sigma_.size(); ++j) add(position(sigma_[j]), position(sigma_[j]), 1);
    return all_;
  }

  std::vector<Influence> of(const AdmConfig& c) {
    for (size_t j = 0; j + 1 < sigma_.size(); ++j) {
      const double from = sigma_[j];
      const std::vector<double> times = times_of(c, j);
      const double share = 1 / static_cast<double>(times.size());
      for (const double to : times) {
        const double compared = c.match_last_step && j + 2 == sigma_.size() ? from : to;
        const double weight = share * weight_of(c, from, to, compared), half = c.both_ends ? 0.5 : 1;
        add(position(from), position(compared), half * weight);
        if (c.both_ends) add(position(from), position(from), half * weight);
      }
      if (c.anchor > 0) add(position(from), position(from), c.anchor);
    }
    return all_;
  }

  std::vector<Influence> of(const OnPolicyMatchingConfig& c) {
    for (size_t j = 0; j + 1 < sigma_.size(); ++j) {
      const std::vector<double> times = times_of(c, j);
      for (const double to : times) {
        const double compared = c.match_first_step && j == 0 ? sigma_[0] : to;
        const double weight = c.weight == "kl" ? (sigma_[j] - to) * (1 - to) / to : 1;
        add(position(compared), position(compared), weight / static_cast<double>(times.size()));
      }
    }
    return all_;
  }

  std::vector<Influence> of(const DmdMatchingConfig&) { throw CheckError("linear picture: dmd compares a critic with the teacher, not the student"); }

 private:
  void add(double at, double error_at, double weight) { all_.push_back({at, error_at, weight}); }

  // Solver steps from the first solver time, linear in sigma within a step.
  double position(double sigma) const {
    size_t j = 0;
    while (j + 2 < sigma_.size() && sigma_[j + 1] > sigma) ++j;
    return static_cast<double>(j) + (sigma_[j] - sigma) / (sigma_[j] - sigma_[j + 1]);
  }

  // The times t that matching_time may give, all equally likely (within_step: midpoints of 2 cells).
  std::vector<double> times_of(const MatchingTimeConfig& c, size_t j) const {
    std::vector<double> times;
    if (c.time == "lower_solver_time") times.assign(sigma_.begin() + static_cast<std::ptrdiff_t>(j) + 1, sigma_.end());
    const double step = (sigma_[j + 1] - sigma_[j]) / static_cast<double>(c.substeps);
    if (c.time == "next") times = {sigma_[j] + step};
    const int64_t parts = 2 * config_.cells;
    for (int64_t i = 0; c.time == "within_step" && i < parts; ++i)
      times.push_back(sigma_[j] + (static_cast<double>(i) + 0.5) / static_cast<double>(parts) * step);
    for (double& t : times) t = std::min(std::clamp(t, c.clamp_low, c.clamp_high), sigma_[j]);
    return times;
  }

  double weight_of(const AdmConfig& c, double from, double to, double compared) const {
    if (c.normalisation == "unit") return 1;
    const double weight = c.reading == "renoise" ? from * (1 - to) * (1 - to) / to : (from - to) * (1 - to) / to;
    return c.normalisation == "raw" ? weight : weight / std::max(clean_gap(from, compared), 1e-6);
  }

  // E |E[x_0 | x_from] - E[x_0 | x_to]| along a trajectory, which keeps z = x / sqrt(V): |c(from) - c(to)| E|z|, c = (1-s) d^2 / sqrt(V).
  double clean_gap(double from, double to) const {
    const double d2 = config_.deviation * config_.deviation;
    const auto slope = [&](double s) { return (1 - s) * d2 / std::sqrt((1 - s) * (1 - s) * d2 + s * s); };
    return std::abs(slope(from) - slope(to)) * std::sqrt(2 / M_PI);
  }

  std::vector<double> sigma_;
  LinearPictureConfig config_;
  std::vector<Influence> all_;
};

double two_norm(const at::Tensor& matrix) { return at::linalg_svdvals(matrix).max().item<double>(); }
double frobenius(const at::Tensor& matrix) { return matrix.square().sum().sqrt().item<double>(); }

}  // namespace

LinearPicture linear_picture(const MatchingConfig& matching, const FlowSchedule& schedule, const LinearPictureConfig& config) {
  check(config.width > 0 && config.deviation > 0 && config.cells > 0, "linear picture: width {}, deviation {}, cells {}: wanted numbers above 0", config.width,
        config.deviation, config.cells);
  std::vector<Influence> influences = std::visit([&](const auto& c) { return Influences(schedule, config).of(c); }, matching);
  const int64_t num_steps = schedule.num_steps(), size = num_steps * config.cells + 1;
  double sum = 0;
  for (const Influence& i : influences) sum += i.weight;
  const auto point = [&](double position) { return std::clamp<int64_t>(std::llround(position * static_cast<double>(config.cells)), 0, size - 1); };
  at::Tensor a = at::zeros({size, size}, at::kDouble);
  auto entry = a.accessor<double, 2>();
  for (const Influence& i : influences) entry[point(i.at)][point(i.error_at)] += i.weight * static_cast<double>(num_steps) / sum;

  LinearPicture picture;
  const at::Tensor place = at::arange(size, at::kDouble) / static_cast<double>(config.cells) / config.width;
  picture.kernel = at::exp(-0.5 * (place.unsqueeze(0) - place.unsqueeze(1)).square());
  picture.matrix = at::matmul(picture.kernel, a);
  for (int64_t j = 0; j < num_steps; ++j) picture.solver_points.push_back(j * config.cells);
  return picture;
}

LinearGrowth linear_growth(const LinearPicture& picture, double horizon) {
  const at::Tensor points = at::tensor(picture.solver_points, at::kLong);
  const auto [values, vectors] = at::linalg_eigh(picture.kernel);
  const at::Tensor root = vectors * values.clamp_min(0).sqrt().unsqueeze(0);  // Theta = root root^T
  const at::Tensor start = root.index_select(0, points);
  const double worst = two_norm(start), typical = frobenius(start);
  LinearGrowth growth;
  double tau = 0.125;
  for (at::Tensor step = at::matrix_exp(-tau * picture.matrix); tau <= horizon; tau *= 2, step = at::matmul(step, step)) {
    const at::Tensor reached = at::matmul(step.index_select(0, points), root);
    if (!at::isfinite(reached).all().item<bool>()) {
      growth.worst = growth.typical = growth.final_typical = std::numeric_limits<double>::infinity();
      break;
    }
    growth.final_typical = frobenius(reached) / typical;
    growth.worst = std::max(growth.worst, two_norm(reached) / worst);
    growth.typical = std::max(growth.typical, growth.final_typical);
  }
  growth.slowest_rate = at::real(at::linalg_eigvals(picture.matrix)).min().item<double>();
  return growth;
}

}  // namespace linden
