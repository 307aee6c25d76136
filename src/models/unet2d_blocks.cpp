#include "models/unet2d_blocks.h"

#include <ATen/ops/cat.h>

#include "nn/trace.h"

namespace linden {
namespace {

ResnetBlock make_resnet(const UNetBlockOptions& options, int64_t in_channels) {
  ResnetBlockOptions resnet = options.resnet;
  resnet.in_channels = in_channels;
  resnet.out_channels = options.out_channels;
  return ResnetBlock(resnet);
}

SpatialAttention make_attention(const UNetBlockOptions& options) {
  return SpatialAttention(SpatialAttentionOptions{.channels = options.out_channels,
                                                  .head_dim = options.head_dim,
                                                  .norm_groups = options.attention_groups,
                                                  .norm_eps = options.resnet.norm_eps,
                                                  .output_scale = options.resnet.output_scale});
}

// Registers modules under "name.0", "name.1", ...; an empty list has no name in a checkpoint.
template <class Holder>
void register_list(torch::nn::Module& owner, const std::string& name, const std::vector<Holder>& modules) {
  torch::nn::ModuleList list;
  for (const Holder& module : modules) list->push_back(module);
  if (!modules.empty()) owner.register_module(name, list);
}

at::Tensor apply_resnet(std::vector<ResnetBlock>& resnets, size_t j, const at::Tensor& x, const at::Tensor& time) {
  TraceScope scope("resnets", static_cast<int64_t>(j));
  return resnets[j](x, time);
}

at::Tensor apply_attention(std::vector<SpatialAttention>& attentions, size_t j, const at::Tensor& x) {
  TraceScope scope("attentions", static_cast<int64_t>(j));
  return attentions[j](x);
}

}  // namespace

UNetDownBlockImpl::UNetDownBlockImpl(const UNetBlockOptions& options) {
  for (int64_t j = 0; j < options.num_layers; ++j) {
    resnets.push_back(make_resnet(options, j == 0 ? options.in_channels : options.out_channels));
    if (options.attention) attentions.push_back(make_attention(options));
  }
  register_list(*this, "resnets", resnets);
  register_list(*this, "attentions", attentions);
  if (options.resample) {
    downsampler = Downsample(options.out_channels, options.downsample_padding);
    register_list(*this, "downsamplers", std::vector<Downsample>{downsampler});
  }
}

at::Tensor UNetDownBlockImpl::forward(at::Tensor x, const at::Tensor& time, std::vector<at::Tensor>& skips) {
  for (size_t j = 0; j < resnets.size(); ++j) {
    x = apply_resnet(resnets, j, x, time);
    if (!attentions.empty()) x = apply_attention(attentions, j, x);
    skips.push_back(x);
  }
  if (downsampler) {
    TraceScope scope("downsamplers", 0);
    x = downsampler(x);
    skips.push_back(x);
  }
  linden::trace(x);
  return x;
}

UNetMidBlockImpl::UNetMidBlockImpl(const UNetBlockOptions& options) {
  resnets.push_back(make_resnet(options, options.in_channels));
  for (int64_t j = 0; j < options.num_layers; ++j) {
    if (options.attention) attentions.push_back(make_attention(options));
    resnets.push_back(make_resnet(options, options.out_channels));
  }
  register_list(*this, "attentions", attentions);
  register_list(*this, "resnets", resnets);
}

at::Tensor UNetMidBlockImpl::forward(at::Tensor x, const at::Tensor& time) {
  x = apply_resnet(resnets, 0, x, time);
  for (size_t j = 1; j < resnets.size(); ++j) {
    if (!attentions.empty()) x = apply_attention(attentions, j - 1, x);
    x = apply_resnet(resnets, j, x, time);
  }
  linden::trace(x);
  return x;
}

UNetUpBlockImpl::UNetUpBlockImpl(const UNetBlockOptions& options) {
  for (int64_t j = 0; j < options.num_layers; ++j) {
    const int64_t skip = j == options.num_layers - 1 ? options.skip_channels : options.out_channels;
    resnets.push_back(make_resnet(options, skip + (j == 0 ? options.in_channels : options.out_channels)));
    if (options.attention) attentions.push_back(make_attention(options));
  }
  register_list(*this, "resnets", resnets);
  register_list(*this, "attentions", attentions);
  if (options.resample) {
    upsampler = Upsample(options.out_channels);
    register_list(*this, "upsamplers", std::vector<Upsample>{upsampler});
  }
}

at::Tensor UNetUpBlockImpl::forward(at::Tensor x, const at::Tensor& time, std::vector<at::Tensor>& skips) {
  for (size_t j = 0; j < resnets.size(); ++j) {
    x = at::cat({x, skips.back()}, 1);
    skips.pop_back();
    x = apply_resnet(resnets, j, x, time);
    if (!attentions.empty()) x = apply_attention(attentions, j, x);
  }
  if (upsampler) {
    TraceScope scope("upsamplers", 0);
    x = upsampler(x);
  }
  linden::trace(x);
  return x;
}

}  // namespace linden
