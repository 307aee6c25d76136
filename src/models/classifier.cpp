#include "models/classifier.h"

#include <ATen/ops/max_pool2d.h>
#include <ATen/ops/relu.h>
#include <fmt/ranges.h>

#include "core/error.h"
#include "nn/resnet_block.h"
#include "nn/trace.h"

namespace linden {

void visit_fields(FieldVisitor& v, DigitClassifierConfig& c) {
  visit(v, Field("image_size", "rows and columns; a multiple of 4").at_least(4), c.image_size);
  visit(v, Field("in_channels", "channels of an image").at_least(1), c.in_channels);
  visit(v, Field("num_classes", "classes").at_least(2), c.num_classes);
}

DigitClassifierImpl::DigitClassifierImpl(const DigitClassifierConfig& config) : config_(config) {
  if (config.image_size % 4 != 0) throw ConfigError(fmt::format("DigitClassifier: image_size is {}, wanted a multiple of 4", config.image_size));
  conv1 = register_module("conv1", make_conv(config.in_channels, 16, 5, 1, 2));
  conv2 = register_module("conv2", make_conv(16, 32, 5, 1, 2));
  const int64_t side = config.image_size / 4;
  linear = register_module("linear", torch::nn::Linear(32 * side * side, config.num_classes));
}

at::Tensor DigitClassifierImpl::features(const at::Tensor& x) {
  check(x.dim() == 4 && x.size(1) == config_.in_channels && x.size(2) == config_.image_size && x.size(3) == config_.image_size,
        "DigitClassifier: x is [{}], wanted [B, {}, {}, {}]", fmt::join(x.sizes(), ", "), config_.in_channels, config_.image_size, config_.image_size);
  at::Tensor h = at::max_pool2d(at::relu(conv1(x)), 2);
  h = at::max_pool2d(at::relu(conv2(h)), 2);
  return h.flatten(1);
}

at::Tensor DigitClassifierImpl::logits(const at::Tensor& x) {
  const at::Tensor result = linear(features(x));
  TraceScope scope("linear");
  linden::trace(result);
  return result;
}

void DigitClassifierImpl::save(const std::filesystem::path& folder, at::ScalarType dtype) const { save_model_folder(folder, *this, config_, dtype); }

}  // namespace linden
