#include "evaluate/statistics_file.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include "core/error.h"
#include "io/npz.h"

namespace linden {

namespace fs = std::filesystem;

FeatureStatistics read_statistics(const fs::path& file) {
  const NpzArrays arrays = read_npz(file);
  check_input(arrays.contains("mu") && arrays.contains("sigma"), "{}: no statistics: wanted the arrays \"mu\" [F] and \"sigma\" [F, F]", file.string());
  const at::Tensor mean = arrays.at("mu").to(at::kDouble), covariance = arrays.at("sigma").to(at::kDouble);
  const bool fits = mean.dim() == 1 && covariance.dim() == 2 && covariance.size(0) == mean.size(0) && covariance.size(1) == mean.size(0);
  check_input(fits, "{}: \"mu\" is [{}] and \"sigma\" is [{}], wanted [F] and [F, F]", file.string(), fmt::join(mean.sizes(), ", "),
              fmt::join(covariance.sizes(), ", "));
  check_input(mean.isfinite().all().item<bool>() && covariance.isfinite().all().item<bool>(), "{}: the statistics hold NaN or infinity", file.string());
  const double largest = covariance.abs().max().item<double>();
  check_input((covariance - covariance.t()).abs().max().item<double>() <= 1e-6 * largest, "{}: \"sigma\" is not symmetric, so it is no covariance",
              file.string());
  const double lowest = std::get<0>(at::linalg_eigh(covariance)).min().item<double>();
  check_input(lowest >= -1e-6 * largest, "{}: \"sigma\" has the eigenvalue {:.3g}, so it is no covariance", file.string(), lowest);
  FeatureStatistics statistics{{2, mean, covariance}, ""};
  if (arrays.contains("count") && arrays.at("count").numel() == 1) statistics.moments.count = arrays.at("count").item().toLong();
  if (arrays.contains("features") && arrays.at("features").scalar_type() == at::kByte) {
    const at::Tensor bytes = arrays.at("features").contiguous();
    statistics.features.assign(reinterpret_cast<const char*>(bytes.const_data_ptr<uint8_t>()), static_cast<size_t>(bytes.numel()));
  }
  return statistics;
}

void write_statistics(const fs::path& file, const FeatureStatistics& statistics) {
  at::Tensor name = at::empty({static_cast<int64_t>(statistics.features.size())}, at::kByte);
  std::copy(statistics.features.begin(), statistics.features.end(), name.mutable_data_ptr<uint8_t>());
  write_npz(file, {{"mu", statistics.moments.mean},
                   {"sigma", statistics.moments.covariance},
                   {"count", at::full({1}, statistics.moments.count, at::kLong)},
                   {"features", name}});
}

bool holds_statistics(const fs::path& file) {
  if (file.extension() != ".npz" || !fs::exists(file)) return false;
  const NpzArrays arrays = read_npz(file);
  return arrays.contains("mu") && arrays.contains("sigma");
}

}  // namespace linden
