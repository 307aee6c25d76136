#include "ops/attention_choices.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "core/logging.h"

namespace linden {

const char* name_of(AttentionBackend backend) {
  switch (backend) {
    case AttentionBackend::kCudnn: return "cudnn";
    case AttentionBackend::kFlash: return "flash";
    case AttentionBackend::kEfficient: return "efficient";
    case AttentionBackend::kMath: return "math";
  }
  return "unknown";
}

std::optional<AttentionBackend> attention_backend_of(const std::string& name) {
  for (const AttentionBackend backend : kAttentionBackends)
    if (name == name_of(backend)) return backend;
  return std::nullopt;
}

void visit_fields(FieldVisitor& v, AttentionConfig& c) {
  visit(v,
        Field("backend",
              "what computes softmax attention on a card: the fastest for each shape, measured once (auto), or one of LibTorch's back-ends wherever it takes "
              "the inputs")
            .one_of({"auto", "cudnn", "flash", "efficient", "math"})
            .changeable(),
        c.backend);
}

std::string description_of(const AttentionShape& s) {
  return fmt::format("softmax attention on {}, {}, batch {}, {} queries, {} keys, {} heads of {}, {}{}", s.device, s.dtype, s.batch, s.queries, s.keys, s.heads,
                     s.head_dim, s.gradient ? "forward and backward" : "forward", s.padded ? ", padded" : "");
}

AttentionBackend AttentionMeasurement::fastest() const {
  check(!microseconds.empty(), "attention: no back-end was measured");
  return std::min_element(microseconds.begin(), microseconds.end(), [](const auto& a, const auto& b) { return a.second < b.second; })->first;
}

std::string description_of(const AttentionMeasurement& m) {
  std::string text;
  for (const auto& [backend, us] : m.microseconds) text += fmt::format("{}{} {:.1f} us", text.empty() ? "" : ", ", name_of(backend), us);
  for (const auto& [backend, reason] : m.refused) text += fmt::format("{}{} refused ({})", text.empty() ? "" : ", ", name_of(backend), reason);
  return text;
}

void AttentionChoices::prefer(std::optional<AttentionBackend> backend) {
  const std::lock_guard lock(mutex_);
  preferred_ = backend;
  warned_.clear();
}
void AttentionChoices::prefer(const AttentionConfig& config) { prefer(attention_backend_of(config.backend)); }

std::optional<AttentionBackend> AttentionChoices::find(const AttentionShape& shape) const {
  const std::lock_guard lock(mutex_);
  const auto found = measurements_.find(shape);
  if (found == measurements_.end()) return std::nullopt;
  const AttentionMeasurement& measurement = found->second;
  if (!preferred_) return measurement.fastest();
  if (measurement.microseconds.contains(*preferred_)) return preferred_;
  if (warned_.insert(shape).second)
    log_warning("{}: {} is asked for, but {} runs: {}", description_of(shape), name_of(*preferred_), name_of(measurement.fastest()),
                description_of(measurement));
  return measurement.fastest();
}

void AttentionChoices::add(const AttentionShape& shape, const AttentionMeasurement& measurement) {
  check(!measurement.microseconds.empty(), "attention: a measurement without a back-end that runs");
  std::filesystem::path file;
  {
    const std::lock_guard lock(mutex_);
    measurements_.emplace(shape, measurement);
    file = file_;
  }
  if (!file.empty()) attention_choices_save(*this, file);
}

void AttentionChoices::keep_in(const std::filesystem::path& file) {
  if (!file.empty()) attention_choices_load(*this, file);
  const std::lock_guard lock(mutex_);
  file_ = file;
}

std::map<AttentionShape, AttentionMeasurement> AttentionChoices::all() const {
  const std::lock_guard lock(mutex_);
  return measurements_;
}

AttentionChoices& default_attention_choices() {
  static AttentionChoices choices;
  return choices;
}

}  // namespace linden
