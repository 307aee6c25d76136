// What features metrics stand on, and computing them of a sample set, a batch at a time.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <variant>

#include "core/config.h"
#include "evaluate/moments.h"
#include "evaluate/sample_set.h"

namespace linden {

class ImageClassifier;

// The penultimate layer of EvaluateConfig::classifier; the samples' own numbers where there is none.
struct ClassifierFeaturesConfig {
  static constexpr const char* kType = "classifier";
};
// A layer of the FID Inception (models/inception.h). Samples are rounded to bytes first, so that a number does not
// depend on whether they were stored as PNG files.
struct InceptionFeaturesConfig {
  static constexpr const char* kType = "inception";
  std::string file;     // .safetensors, or formula:SEED
  int64_t dims = 2048;  // 64, 192, 768 or 2048
};
// Pixels or coordinates, also where there is a classifier.
struct RawFeaturesConfig {
  static constexpr const char* kType = "raw";
};
using FeaturesConfig = std::variant<ClassifierFeaturesConfig, InceptionFeaturesConfig, RawFeaturesConfig>;
void visit_fields(FieldVisitor& v, ClassifierFeaturesConfig& c);
void visit_fields(FieldVisitor& v, InceptionFeaturesConfig& c);
void visit_fields(FieldVisitor& v, RawFeaturesConfig& c);

// What was computed of one set.
struct Embedded {
  Moments moments;    // undefined for a single sample
  at::Tensor rows;    // [S, F] fp32 on the CPU; undefined unless kept
  at::Tensor logits;  // [S, K] on the CPU; undefined without a classifier
  int64_t num_duplicates = 0;
};
struct EmbedOptions {
  int64_t batch_size = 256;
  bool keep_rows = true, logits = true, count_duplicates = false;
};

class Embedder {
 public:
  // `samples` says what is to be embedded. InputError: a network that cannot be loaded, or that wants images of another
  // kind; ConfigError: an Inception layer that does not exist.
  Embedder(const FeaturesConfig& features, const std::string& classifier_folder, const SampleSet& samples, at::Device device);

  const std::string& name() const { return name_; }  // "Inception 2048 (weights.safetensors)", "DigitJudge", "pixel", "coordinate"
  int64_t num_features() const { return num_features_; }
  const std::string& classifier_name() const { return classifier_name_; }  // "DigitJudge"; "" without one
  int64_t num_classes() const;                                             // 0 without a classifier

  // `what` is used in messages. Moments are streamed. InputError: NaN or infinity in samples or features (which sample).
  Embedded embed(const SampleSet& set, const std::string& what, const EmbedOptions& options) const;

 private:
  void use_raw(const SampleSet& samples);
  void use_inception(const InceptionFeaturesConfig& config, const SampleSet& samples);

  std::shared_ptr<ImageClassifier> classifier_;
  std::function<at::Tensor(const at::Tensor&)> features_;  // [B, ...] on the device -> [B, F]
  std::string name_, classifier_name_;
  int64_t num_features_ = 0;
  at::Device device_;
};

}  // namespace linden
