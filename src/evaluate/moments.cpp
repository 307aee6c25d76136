#include "evaluate/moments.h"

#include <ATen/ATen.h>

#include "core/error.h"

namespace linden {

namespace {
constexpr int64_t kBlock = 256;  // rows merged at once
}

at::Tensor checked_features(const at::Tensor& features, const char* name) {
  check(features.defined() && features.dim() == 2 && features.size(1) > 0, "{} must be a tensor [S, F], but it has {} dimensions", name,
        features.defined() ? features.dim() : -1);
  const at::Tensor rows = features.detach().to(at::kCPU, at::kDouble).contiguous();
  const at::Tensor bad = rows.isfinite().all(1).logical_not();  // [S]
  if (bad.any().item<bool>()) {
    const at::Tensor where = bad.nonzero().flatten();
    throw InputError(
        fmt::format("{}: {} of {} rows hold NaN or infinity, the first is row {} (counted from 0). "
                    "Metrics over them mean nothing: look at that sample, or at the classifier that made the features",
                    name, where.size(0), rows.size(0), where[0].item<int64_t>()));
  }
  return rows;
}

void MomentsAccumulator::merge(Sums& into, const at::Tensor& block) {
  const at::Tensor mean = block.mean(0);
  const at::Tensor centred = block - mean;
  const at::Tensor scatter = centred.t().mm(centred);
  if (into.count == 0) {
    into = {block.size(0), mean, scatter};
    return;
  }
  const double n = static_cast<double>(into.count), m = static_cast<double>(block.size(0));
  const at::Tensor delta = mean - into.mean;
  into.scatter = into.scatter + scatter + at::outer(delta, delta) * (n * m / (n + m));
  into.mean = into.mean + delta * (m / (n + m));
  into.count += block.size(0);
}

void MomentsAccumulator::add(const at::Tensor& features) {
  const at::Tensor rows = checked_features(features, "features");
  check(!pending_.defined() || pending_.size(1) == rows.size(1), "features have {} columns, but earlier ones had {}", rows.size(1),
        pending_.defined() ? pending_.size(1) : 0);
  count_ += rows.size(0);
  at::Tensor waiting = pending_.defined() ? at::cat({pending_, rows}) : rows;
  int64_t first = 0;
  for (; first + kBlock <= waiting.size(0); first += kBlock) merge(sums_, waiting.narrow(0, first, kBlock));
  pending_ = waiting.narrow(0, first, waiting.size(0) - first).clone();
}

Moments MomentsAccumulator::moments() const {
  check_input(count_ >= 2, "a covariance needs at least 2 samples, got {}", count_);
  Sums sums = sums_;
  if (pending_.size(0) > 0) merge(sums, pending_);
  return {sums.count, sums.mean, sums.scatter / static_cast<double>(sums.count - 1)};
}

Moments moments_of(const at::Tensor& features) {
  MomentsAccumulator accumulator;
  accumulator.add(features);
  return accumulator.moments();
}

}  // namespace linden
