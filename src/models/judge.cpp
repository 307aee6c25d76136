#include "models/judge.h"

#include <fmt/ranges.h>
#include <torch/nn/modules/container/modulelist.h>

#include "core/error.h"
#include "nn/group_norm.h"
#include "nn/resnet_block.h"
#include "nn/trace.h"

namespace linden {

void visit_fields(FieldVisitor& v, DigitJudgeConfig& c) {
  visit(v, Field("in_channels", "channels of an image").at_least(1), c.in_channels);
  visit(v, Field("num_classes", "classes").at_least(2), c.num_classes);
  visit(v, Field("channels", "channels of each convolution").at_least(1), c.channels);
  visit(v, Field("strides", "stride of each convolution").between(1, 2), c.strides);
  visit(v, Field("norm_groups", "groups of every group norm").at_least(1), c.norm_groups);
}

DigitJudgeImpl::DigitJudgeImpl(const DigitJudgeConfig& config) : config_(config) {
  if (config.channels.empty() || config.channels.size() != config.strides.size())
    throw ConfigError(
        fmt::format("DigitJudge: channels has {} entries and strides {}, wanted one a convolution in each", config.channels.size(), config.strides.size()));
  torch::nn::ModuleList conv_list, norm_list;
  int64_t in = config.in_channels;
  for (size_t i = 0; i < config.channels.size(); ++i) {
    const int64_t out = config.channels[i];
    if (out % config.norm_groups != 0)
      throw ConfigError(fmt::format("DigitJudge: channels has {}, which does not split into norm_groups = {} groups", out, config.norm_groups));
    convs.push_back(make_conv(in, out, 3, config.strides[i], 1));
    norms.emplace_back(torch::nn::GroupNormOptions(config.norm_groups, out));
    conv_list->push_back(convs.back());
    norm_list->push_back(norms.back());
    in = out;
  }
  register_module("convs", conv_list);
  register_module("norms", norm_list);
  linear = register_module("linear", torch::nn::Linear(in, config.num_classes));
}

at::Tensor DigitJudgeImpl::features(const at::Tensor& x) {
  check(x.dim() == 4 && x.size(1) == config_.in_channels, "DigitJudge: x is [{}], wanted [B, {}, Y, X]", fmt::join(x.sizes(), ", "), config_.in_channels);
  at::Tensor h = x;
  for (size_t i = 0; i < convs.size(); ++i) h = group_norm_silu(norms[i], convs[i](h));
  return h.mean({2, 3});
}

at::Tensor DigitJudgeImpl::logits(const at::Tensor& x) {
  const at::Tensor result = linear(features(x));
  TraceScope scope("linear");
  linden::trace(result);
  return result;
}

void DigitJudgeImpl::save(const std::filesystem::path& folder, at::ScalarType dtype) const { save_model_folder(folder, *this, config_, dtype); }

}  // namespace linden
