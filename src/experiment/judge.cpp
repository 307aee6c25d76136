#include "experiment/judge.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <vector>

#include "core/error.h"
#include "core/logging.h"
#include "evaluate/class_reference.h"
#include "evaluate/distances.h"
#include "models/image_classifier.h"

namespace linden {

JudgeReading read_with_judge(const std::string& folder, const at::Tensor& samples, at::Device device) {
  constexpr int64_t kBatch = 512;
  const at::NoGradGuard no_grad;
  const auto judge = load_classifier(folder, device);
  std::vector<at::Tensor> logits, features;
  for (const at::Tensor& part : samples.split(kBatch)) {
    const at::Tensor images = part.to(device);
    logits.push_back(judge->logits(images).cpu());
    features.push_back(judge->features(images).cpu());
  }
  return {at::cat(logits), at::cat(features)};
}

namespace {

SampleSet real_samples(const std::string& path, const std::vector<int64_t>& classes) {
  SampleSetConfig config;
  config.path = path;
  config.classes = classes;
  return SampleSet(config);
}

}  // namespace

void check_judge(const JudgeConfig& config, const std::vector<int64_t>& classes, at::Device device) {
  if (config.folder.empty()) {
    check_input(config.reference.empty(), "judge.reference is \"{}\", but there is no judge whose features to compare; give judge.folder", config.reference);
    return;
  }
  load_classifier(config.folder, device);
  check_input(config.held_out.empty() || !config.reference.empty(), "judge.held_out is \"{}\", but judge.reference, which it is compared with, is empty",
              config.held_out);
  for (const std::string& path : {config.reference, config.held_out})
    if (!path.empty()) real_samples(path, classes);
}

JudgedDistances judged_distances(const JudgeConfig& config, const at::Tensor& features, const std::vector<int64_t>& classes, at::Device device) {
  JudgedDistances out;
  if (config.reference.empty() || features.size(0) < 2) return out;
  if (features.size(0) <= features.size(1))
    log_warning("Frechet distance: {} samples for {} features, so their covariance is singular and the distance depends on the count", features.size(0),
                features.size(1));
  ClassReference real(load_classifier(config.folder, device), device);
  SampleSetConfig reference;
  reference.path = config.reference;
  reference.classes = classes;
  const Moments& wanted = real.moments(reference);
  out.samples = frechet_distance(wanted, moments_of(features));
  if (config.held_out.empty()) return out;
  const SampleSet held_out = real_samples(config.held_out, classes);
  const int64_t count = std::min(held_out.size(), features.size(0));
  if (count > 1) out.real = frechet_distance(wanted, moments_of(real.features(held_out.batch(0, count))));
  return out;
}

}  // namespace linden
