// Which of LibTorch's back-ends computes softmax attention: one choice for each shape, measured once and kept.
//
// LibTorch picks a back-end by rules; the one it picks may take 1.5 times as long as another (on Hopper its flash kernel
// against cuDNN's at many tokens). Here every back-end that takes the inputs is timed, once for each shape.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>

#include "core/config.h"

namespace linden {

enum class AttentionBackend { kCudnn, kFlash, kEfficient, kMath };
inline constexpr std::array kAttentionBackends = {AttentionBackend::kCudnn, AttentionBackend::kFlash, AttentionBackend::kEfficient, AttentionBackend::kMath};
const char* name_of(AttentionBackend backend);                                  // cudnn, flash, efficient, math
std::optional<AttentionBackend> attention_backend_of(const std::string& name);  // nullopt: no such name

struct AttentionConfig {
  std::string backend = "auto";  // auto (the fastest, measured), cudnn, flash, efficient, math
};
void visit_fields(FieldVisitor& v, AttentionConfig& c);

// What a choice depends on.
struct AttentionShape {
  std::string device, dtype;  // "NVIDIA H100 80GB HBM3", "BFloat16"
  int64_t batch = 0, queries = 0, keys = 0, heads = 0, head_dim = 0;
  bool gradient = false;  // forward and backward are run, else forward alone
  bool padded = false;    // with a mask
  auto operator<=>(const AttentionShape&) const = default;
};
std::string description_of(const AttentionShape& shape);

// What was found: a back-end is in one of the two.
struct AttentionMeasurement {
  std::map<AttentionBackend, double> microseconds;  // median of one call (with gradient: forward and backward)
  std::map<AttentionBackend, std::string> refused;  // why
  bool operator==(const AttentionMeasurement&) const = default;
  AttentionBackend fastest() const;  // there must be one
};
std::string description_of(const AttentionMeasurement& measurement);

// The measurements of a process or run. Thread-safe.
class AttentionChoices {
 public:
  // A back-end to use wherever it takes the inputs, whatever the measurements say; nullopt: the fastest.
  void prefer(std::optional<AttentionBackend> backend);
  void prefer(const AttentionConfig& config);
  // nullopt: not measured yet. A preferred back-end that refused the shape is warned of once.
  std::optional<AttentionBackend> find(const AttentionShape& shape) const;
  void add(const AttentionShape& shape, const AttentionMeasurement& measurement);  // the first one for a shape stays
  std::map<AttentionShape, AttentionMeasurement> all() const;
  // Reads `file` if it is there, and writes it again after every new measurement: a run that is killed and resumed runs the same
  // back-ends. An empty path ends that. InputError where the file is damaged.
  void keep_in(const std::filesystem::path& file);

 private:
  mutable std::mutex mutex_;
  std::optional<AttentionBackend> preferred_;
  std::map<AttentionShape, AttentionMeasurement> measurements_;
  mutable std::set<AttentionShape> warned_;
  std::filesystem::path file_;
};

// The one that softmax_attention() uses where it is not given another: measurements belong to the card and the process,
// as cuDNN's own plans do, and all models of a process share them.
AttentionChoices& default_attention_choices();

// The measurements as JSON, for the run folder: a resumed run does not measure again and runs the same back-ends.
inline constexpr const char* kAttentionChoicesFile = "attention_backends.json";
void attention_choices_save(const AttentionChoices& choices, const std::filesystem::path& file);
// Adds what the file holds. False: there is no such file, or another LibTorch wrote it, and shapes are measured anew.
// InputError where it is damaged.
bool attention_choices_load(AttentionChoices& choices, const std::filesystem::path& file);

}  // namespace linden
