#include "experiment/judge.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <vector>

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

}  // namespace linden
