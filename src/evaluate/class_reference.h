// Real samples of chosen classes under a classifier, for whoever has samples in memory and no run folder yet.
//
//     ClassReference real(load_classifier("experiments/digits/judge", device), device);
//     SampleSetConfig threes{.path = "mnist_test", .classes = {3}};
//     double distance = real.frechet_distance(samples, threes);      // samples [S, C, Y, X]
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <map>
#include <memory>
#include <string>

#include "evaluate/moments.h"
#include "evaluate/sample_set.h"

namespace linden {

class ImageClassifier;

// Mean and covariance of the classifier's penultimate layer over the samples that `reference` names. The classifier is
// on `device` and in eval mode. InputError: whatever SampleSet refuses, no images, fewer than two samples, NaN in features.
Moments reference_moments(const SampleSetConfig& reference, ImageClassifier& classifier, at::Device device);

// Keeps what it computed, in memory only: a second question about the same reference costs nothing.
class ClassReference {
 public:
  ClassReference(std::shared_ptr<ImageClassifier> classifier, at::Device device);

  const Moments& moments(const SampleSetConfig& reference);
  // samples [S, C, Y, X] in [-1, 1], any device. Returns [S, F] fp32 on the CPU, for any function of distances.h.
  at::Tensor features(const at::Tensor& samples) const;
  // InputError: fewer than two samples, NaN in features.
  double frechet_distance(const at::Tensor& samples, const SampleSetConfig& reference);

 private:
  std::shared_ptr<ImageClassifier> classifier_;
  at::Device device_;
  std::map<std::string, Moments> known_;  // by the reference's config as JSON
};

}  // namespace linden
