#include "evaluate/class_reference.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "core/error.h"
#include "evaluate/distances.h"
#include "models/image_classifier.h"

namespace linden {

namespace {
constexpr int64_t kBatch = 256;
}

Moments reference_moments(const SampleSetConfig& reference, ImageClassifier& classifier, at::Device device) {
  const SampleSet set(reference);
  check_input(set.images(), "{}: a classifier reads images [S, C, Y, X], but these samples are [S, {}]", reference.path, set.shape()[0]);
  const at::NoGradGuard no_grad;
  MomentsAccumulator accumulator;
  for (int64_t first = 0; first < set.size(); first += kBatch) {
    accumulator.add(classifier.features(set.batch(first, std::min(kBatch, set.size() - first)).to(device)));
  }
  return accumulator.moments();
}

ClassReference::ClassReference(std::shared_ptr<ImageClassifier> classifier, at::Device device) : classifier_(std::move(classifier)), device_(device) {}

const Moments& ClassReference::moments(const SampleSetConfig& reference) {
  const std::string key = to_json(reference);
  auto found = known_.find(key);
  if (found == known_.end()) found = known_.emplace(key, reference_moments(reference, *classifier_, device_)).first;
  return found->second;
}

at::Tensor ClassReference::features(const at::Tensor& samples) const {
  check(samples.dim() == 4 && samples.size(0) > 0, "samples must be [S, C, Y, X] with S > 0, but they have {} dimensions", samples.dim());
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> rows;
  for (const at::Tensor& part : samples.split(kBatch)) rows.push_back(classifier_->features(part.to(device_, at::kFloat)).cpu());
  return at::cat(rows);
}

double ClassReference::frechet_distance(const at::Tensor& samples, const SampleSetConfig& reference) {
  return linden::frechet_distance(moments(reference), moments_of(features(samples)));
}

}  // namespace linden
