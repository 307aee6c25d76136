#include "evaluate/features.h"

#include <fmt/ranges.h>
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <filesystem>
#include <vector>

#include "core/error.h"
#include "core/progress.h"
#include "evaluate/sample_statistics.h"
#include "models/image_classifier.h"
#include "models/inception.h"
#include "models/model_folder.h"

namespace linden {

namespace {

// [-1, 1] at the values that bytes have.
at::Tensor rounded_to_bytes(const at::Tensor& images) { return ((images + 1) * 127.5).round().clamp(0, 255) / 127.5 - 1; }

void require_finite(const at::Tensor& rows, const std::string& what, const char* part, int64_t first) {
  const at::Tensor bad = rows.flatten(1).isfinite().all(1).logical_not().nonzero().flatten();
  check_input(bad.size(0) == 0, "{}: the {} of sample {} (counted from 0) hold NaN or infinity{}", what, part, bad.size(0) ? first + bad[0].item<int64_t>() : 0,
              bad.size(0) > 1 ? fmt::format(", and those of {} more of its batch", bad.size(0) - 1) : "");
}

}  // namespace

void visit_fields(FieldVisitor&, ClassifierFeaturesConfig&) {}
void visit_fields(FieldVisitor&, RawFeaturesConfig&) {}
void visit_fields(FieldVisitor& v, InceptionFeaturesConfig& c) {
  visit(v, Field("file", "weights of the FID Inception as .safetensors (scripts/convert_inception makes them), or formula:SEED"), c.file);
  visit(v, Field("dims", "which layer: 64, 192, 768 or 2048 features").between(64, 2048), c.dims);
}

Embedder::Embedder(const FeaturesConfig& features, const std::string& classifier_folder, const SampleSet& samples, at::Device device) : device_(device) {
  if (!classifier_folder.empty()) {
    check_input(samples.images(), "classifier: it reads images [S, C, Y, X], but the samples are [S, {}]; leave it empty", samples.shape()[0]);
    classifier_ = load_classifier(classifier_folder, device);
    classifier_name_ = model_class_name(classifier_folder);
    check_input(classifier_->in_channels() == samples.shape()[0], "classifier {}: it reads images of {} channels, but the samples (samples.path) have {}",
                classifier_folder, classifier_->in_channels(), samples.shape()[0]);
  }
  if (const auto* inception = std::get_if<InceptionFeaturesConfig>(&features)) {
    use_inception(*inception, samples);
  } else if (std::holds_alternative<RawFeaturesConfig>(features) || !classifier_) {
    use_raw(samples);
  } else {
    name_ = classifier_name_;
    num_features_ = classifier_->num_features();
    features_ = [classifier = classifier_](const at::Tensor& x) { return classifier->features(x); };
  }
}

void Embedder::use_raw(const SampleSet& samples) {
  name_ = samples.images() ? "pixel" : "coordinate";
  num_features_ = 1;
  for (const int64_t extent : samples.shape()) num_features_ *= extent;
  features_ = [](const at::Tensor& x) { return x.flatten(1); };
}

void Embedder::use_inception(const InceptionFeaturesConfig& config, const SampleSet& samples) {
  const bool known = std::find(kInceptionDims.begin(), kInceptionDims.end(), config.dims) != kInceptionDims.end();
  if (!known) throw ConfigError(fmt::format("features.dims is {}, but Inception has layers of {} features", config.dims, fmt::join(kInceptionDims, ", ")));
  check_input(!config.file.empty(),
              "features.file is empty: give the Inception weights as .safetensors (scripts/convert_inception makes them from pytorch-fid's file), "
              "or choose features.type \"classifier\"");
  check_input(samples.images() && (samples.shape()[0] == 1 || samples.shape()[0] == 3),
              "features: Inception reads images [S, 1 or 3, Y, X], but the samples are [S, {}]; choose features.type \"raw\" or \"classifier\"",
              fmt::join(samples.shape(), ", "));
  name_ = fmt::format("Inception {} ({})", config.dims, std::filesystem::path(config.file).filename().string());
  num_features_ = config.dims;
  features_ = [network = load_inception(config.file, device_), dims = config.dims](const at::Tensor& x) mutable {
    return network->features(rounded_to_bytes(x), dims);
  };
}

int64_t Embedder::num_classes() const { return classifier_ ? classifier_->num_classes() : 0; }

Embedded Embedder::embed(const SampleSet& set, const std::string& what, const EmbedOptions& options) const {
  const at::NoGradGuard no_grad;
  Embedded result;
  std::vector<at::Tensor> rows, logits;
  MomentsAccumulator accumulator;
  DuplicateCounter duplicates;
  Progress progress("features of the " + what, set.size(), "sample");
  for (int64_t first = 0; first < set.size(); first += options.batch_size) {
    const at::Tensor batch = set.batch(first, std::min(options.batch_size, set.size() - first));
    require_finite(batch, what, "values", first);
    const at::Tensor on_device = batch.to(device_), features = features_(on_device).cpu();
    require_finite(features, what, "features", first);
    accumulator.add(features);
    if (options.keep_rows) rows.push_back(features);
    if (classifier_ && options.logits) logits.push_back(classifier_->logits(on_device).cpu());
    if (options.count_duplicates) duplicates.add(batch);
    progress.update(std::min(first + options.batch_size, set.size()));
    if (interrupt_requested()) throw Interrupted("stopped while features were computed; nothing was written");
  }
  if (!rows.empty()) result.rows = at::cat(rows);
  if (!logits.empty()) result.logits = at::cat(logits);
  if (set.size() > 1) result.moments = accumulator.moments();
  result.num_duplicates = duplicates.count();
  return result;
}

}  // namespace linden
