#include "evaluate/sample_statistics.h"

#include <ATen/ATen.h>

#include <cmath>
#include <functional>
#include <string_view>

#include "core/error.h"
#include "evaluate/moments.h"

namespace linden {

namespace {

uint64_t fnv1a64(std::string_view bytes) {
  uint64_t value = 0xCBF29CE484222325ull;
  for (const char byte : bytes) value = (value ^ static_cast<unsigned char>(byte)) * 0x100000001B3ull;
  return value;
}

}  // namespace

double diversity(const at::Tensor& features) {
  const at::Tensor rows = checked_features(features, "features");
  const double count = static_cast<double>(rows.size(0));
  check_input(count >= 2, "diversity is over pairs: it needs at least 2 samples, got {}", rows.size(0));
  const at::Tensor norms = rows.norm(2, 1, true);
  const at::Tensor units = at::where(norms > 0, rows / norms, at::zeros_like(rows));  // [S, F]
  // sum over i != j of u_i . u_j = |sum u|^2 - sum |u|^2
  const double off_diagonal = units.sum(0).square().sum().item<double>() - units.square().sum().item<double>();
  return 1 - off_diagonal / (count * (count - 1));
}

void DuplicateCounter::add(const at::Tensor& samples) {
  check(samples.dim() >= 1, "samples must be [S, ...]");
  if (samples.size(0) == 0) return;
  const at::Tensor rows = samples.detach().to(at::kCPU).reshape({samples.size(0), -1}).contiguous();
  const size_t bytes = static_cast<size_t>(rows.size(1)) * rows.element_size();
  const char* data = static_cast<const char*>(rows.const_data_ptr());
  for (int64_t row = 0; row < rows.size(0); ++row) {
    const std::string_view text(data + static_cast<size_t>(row) * bytes, bytes);
    seen_.emplace(std::hash<std::string_view>{}(text), fnv1a64(text));
  }
  num_rows_ += rows.size(0);
}

int64_t num_duplicates(const at::Tensor& samples) {
  DuplicateCounter counter;
  counter.add(samples);
  return counter.count();
}

double class_share(const at::Tensor& logits, std::span<const int64_t> classes) {
  const at::Tensor rows = checked_features(logits, "logits");
  check(!classes.empty(), "class_share needs at least one class");
  const at::Tensor read = rows.argmax(1);  // [S]
  at::Tensor asked = at::zeros_like(read, at::kBool);
  for (const int64_t label : classes) {
    check(label >= 0 && label < rows.size(1), "class {} is asked for, but the classifier has classes 0..{}", label, rows.size(1) - 1);
    asked = asked.logical_or(read.eq(label));
  }
  return asked.to(at::kDouble).mean().item<double>();
}

double accuracy(const at::Tensor& logits, const at::Tensor& labels) {
  const at::Tensor rows = checked_features(logits, "logits");
  check(labels.dim() == 1 && labels.size(0) == rows.size(0), "{} labels for {} samples", labels.numel(), rows.size(0));
  return rows.argmax(1).eq(labels.to(at::kCPU, at::kLong)).to(at::kDouble).mean().item<double>();
}

double confident_share(const at::Tensor& logits, double threshold) {
  const at::Tensor rows = checked_features(logits, "logits");
  return std::get<0>(rows.softmax(1).max(1)).ge(threshold).to(at::kDouble).mean().item<double>();
}

RewardStatistics reward_statistics(const at::Tensor& rewards) {
  check(rewards.dim() == 1, "rewards must be [S], but they have {} dimensions", rewards.dim());
  check_input(rewards.size(0) > 0, "reward statistics need at least one reward");
  const at::Tensor values = checked_features(rewards.unsqueeze(1), "rewards").flatten();
  RewardStatistics statistics;
  statistics.count = values.size(0);
  statistics.mean = values.mean().item<double>();
  statistics.deviation = statistics.count > 1 ? values.std(/*unbiased=*/true).item<double>() : 0;
  statistics.minimum = values.min().item<double>();
  statistics.maximum = values.max().item<double>();
  statistics.median = at::quantile(values, 0.5).item<double>();
  return statistics;
}

}  // namespace linden
