#include "transfer/probes.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/ostream.h>

#include <bit>
#include <cmath>

#include "core/error.h"

namespace linden {

ClipProbes probe_clips(const at::Tensor& clips) {
  check(clips.dim() == 5 && clips.numel() > 0, "probe_clips: wanted clips [B, C, F, Y, X] that are not empty, got {}", fmt::streamed(clips.sizes()));
  const at::NoGradGuard no_grad;
  const at::Tensor x = clips.detach().to(at::kFloat), flat = x.flatten(1);
  ClipProbes probes;
  probes.saturated = flat.abs().gt(1).to(at::kFloat).mean(1);
  probes.deviation = flat.std(at::IntArrayRef({1}), /*unbiased=*/false);
  const int64_t steps = x.size(2) - 1;
  probes.motion = steps == 0 ? at::zeros_like(probes.deviation) : (x.narrow(2, 1, steps) - x.narrow(2, 0, steps)).abs().flatten(1).mean(1);
  return probes;
}

at::Tensor batch_means(const ClipProbes& probes) { return at::stack({probes.saturated, probes.deviation, probes.motion}).mean(1); }

void visit_fields(FieldVisitor& v, BinnedMeanState& s) {
  visit(v, Field("sum_bits", "the sums, fp64 as the integers of their bits"), s.sum_bits);
  visit(v, Field("counts", "values in each bin"), s.counts);
}

BinnedMean::BinnedMean(int64_t num_bins, at::Device device, double low, double high) : low_(low), high_(high) {
  check(num_bins >= 1 && low < high, "BinnedMean: {} bins over {} .. {}, wanted at least 1 bin and low < high", num_bins, low, high);
  totals_ = at::zeros({2, num_bins}, at::dtype(at::kDouble).device(device));
  numbers_ = at::arange(num_bins, at::dtype(at::kFloat).device(device)).unsqueeze(1);
}

void BinnedMean::add(const at::Tensor& values, const at::Tensor& sigma) {
  check(values.dim() == 1 && sigma.sizes() == values.sizes(), "BinnedMean::add: wanted values [B] and sigma [B], got {} and {}", fmt::streamed(values.sizes()),
        fmt::streamed(sigma.sizes()));
  const at::NoGradGuard no_grad;
  const int64_t num_bins = totals_.size(1);
  const at::Tensor bin =
      ((sigma.detach().to(at::kFloat) - low_) * (static_cast<double>(num_bins) / (high_ - low_))).floor().clamp(0, static_cast<double>(num_bins - 1));  // [B]
  const at::Tensor inside = numbers_.eq(bin);  // [K, B]
  const at::Tensor value = values.detach().to(at::kDouble);
  totals_.add_(at::stack({at::where(inside, value, at::zeros_like(value)).sum(1), inside.sum(1, /*keepdim=*/false, at::kDouble)}));
}

SigmaBins BinnedMean::fetch() const {
  const at::Tensor totals = totals_.cpu();
  const auto total = totals.accessor<double, 2>();
  const int64_t num_bins = totals.size(1);
  SigmaBins bins;
  for (int64_t k = 0; k < num_bins; ++k) {
    const double width = (high_ - low_) / static_cast<double>(num_bins), count = total[1][k];
    bins.low.push_back(low_ + static_cast<double>(k) * width);
    bins.high.push_back(k + 1 == num_bins ? high_ : low_ + static_cast<double>(k + 1) * width);
    bins.mean.push_back(count > 0 ? total[0][k] / count : std::nan(""));
    bins.count.push_back(static_cast<int64_t>(count));
  }
  return bins;
}

void BinnedMean::clear() { totals_.zero_(); }

BinnedMeanState BinnedMean::state() const {
  const at::Tensor totals = totals_.cpu();
  const auto total = totals.accessor<double, 2>();
  BinnedMeanState state;
  for (int64_t k = 0; k < totals.size(1); ++k) {
    state.sum_bits.push_back(std::bit_cast<int64_t>(total[0][k]));
    state.counts.push_back(static_cast<int64_t>(total[1][k]));
  }
  return state;
}

void BinnedMean::restore(const BinnedMeanState& state) {
  const auto num_bins = static_cast<size_t>(totals_.size(1));
  check(state.sum_bits.size() == num_bins && state.counts.size() == num_bins, "BinnedMean::restore: a state of {} sums and {} counts, wanted {} bins",
        state.sum_bits.size(), state.counts.size(), num_bins);
  at::Tensor totals = at::empty({2, totals_.size(1)}, at::kDouble);
  auto total = totals.accessor<double, 2>();
  for (size_t k = 0; k < num_bins; ++k) {
    total[0][static_cast<int64_t>(k)] = std::bit_cast<double>(state.sum_bits[k]);
    total[1][static_cast<int64_t>(k)] = static_cast<double>(state.counts[k]);
  }
  totals_.copy_(totals);
}

}  // namespace linden
