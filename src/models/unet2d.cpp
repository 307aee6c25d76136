#include "models/unet2d.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/silu.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "core/error.h"
#include "nn/group_norm.h"
#include "nn/trace.h"

namespace linden {

NullableKeys UNet2DConfig::nullable_keys() {
  return {{"sample_size", "time_embedding_dim", "attention_head_dim", "attn_norm_num_groups", "num_class_embeds", "num_train_timesteps"},
          {"mid_block_type", "class_embed_type"}};
}

void visit_fields(FieldVisitor& v, UNet2DConfig& c) {
  const std::vector<std::string> down_types = {"DownBlock2D", "AttnDownBlock2D"};
  const std::vector<std::string> up_types = {"UpBlock2D", "AttnUpBlock2D"};
  visit(v, Field("sample_size", "rows and columns of a sample; 0: any").at_least(0), c.sample_size);
  visit(v, Field("in_channels", "channels of the noisy sample").at_least(1), c.in_channels);
  visit(v, Field("out_channels", "channels of the prediction").at_least(1), c.out_channels);
  visit(v, Field("center_input_sample", "map the input x to 2 x - 1 first"), c.center_input_sample);
  visit(v, Field("time_embedding_type", "kind of time embedding").one_of({"positional"}), c.time_embedding_type);
  visit(v, Field("time_embedding_dim", "width of the time embedding; 0: 4 block_out_channels[0]").at_least(0), c.time_embedding_dim);
  visit(v, Field("freq_shift", "f_i = 10^(-4 i / (dim/2 - freq_shift))").at_least(0), c.freq_shift);
  visit(v, Field("flip_sin_to_cos", "cosines before sines"), c.flip_sin_to_cos);
  visit(v, Field("down_block_types", "one a level, the finest first").one_of(down_types), c.down_block_types);
  visit(v, Field("mid_block_type", "the middle block; empty: none").one_of({"UNetMidBlock2D", ""}), c.mid_block_type);
  visit(v, Field("up_block_types", "one a level, the coarsest first").one_of(up_types), c.up_block_types);
  visit(v, Field("block_out_channels", "channels of each level, the finest first").at_least(1), c.block_out_channels);
  visit(v, Field("layers_per_block", "resnets a down block (an up block has one more)").at_least(1), c.layers_per_block);
  visit(v, Field("mid_block_scale_factor", "results in the middle block are divided by it").above(0), c.mid_block_scale_factor);
  visit(v, Field("downsample_padding", "1: on all sides; 0: below and right").between(0, 1), c.downsample_padding);
  visit(v, Field("downsample_type", "kind of down-sampler").one_of({"conv"}), c.downsample_type);
  visit(v, Field("upsample_type", "kind of up-sampler").one_of({"conv"}), c.upsample_type);
  visit(v, Field("dropout", "dropout in the resnets while training").between(0, 1), c.dropout);
  visit(v, Field("act_fn", "activation").one_of({"silu", "swish"}), c.act_fn);
  visit(v, Field("attention_head_dim", "channels of an attention head; 0: one head").at_least(0), c.attention_head_dim);
  visit(v, Field("norm_num_groups", "groups of every group norm").at_least(1), c.norm_num_groups);
  visit(v, Field("attn_norm_num_groups", "groups in the middle block's attention; 0: norm_num_groups").at_least(0), c.attn_norm_num_groups);
  visit(v, Field("norm_eps", "epsilon of every group norm").above(0), c.norm_eps);
  visit(v, Field("resnet_time_scale_shift", "how time enters a resnet").one_of({"default", "scale_shift"}), c.resnet_time_scale_shift);
  visit(v, Field("add_attention", "attention in the middle block"), c.add_attention);
  visit(v, Field("class_embed_type", "class conditioning: none").one_of({""}), c.class_embed_type);
  visit(v, Field("num_class_embeds", "class conditioning: none").between(0, 0), c.num_class_embeds);
  visit(v, Field("num_train_timesteps", "of a learned time embedding, which linden does not have").at_least(0), c.num_train_timesteps);
}

namespace {

void check_config(const UNet2DConfig& c) {
  const size_t levels = c.block_out_channels.size();
  if (levels == 0 || c.down_block_types.size() != levels || c.up_block_types.size() != levels) {
    throw ConfigError(
        fmt::format("UNet2DModel: block_out_channels has {} entries, down_block_types {}, up_block_types {}; wanted one a level in "
                    "each",
                    levels, c.down_block_types.size(), c.up_block_types.size()));
  }
  for (const int64_t channels : c.block_out_channels) {
    if (channels % c.norm_num_groups != 0)
      throw ConfigError(
          fmt::format("UNet2DModel: block_out_channels has {}, which does not split into norm_num_groups "
                      "= {} groups",
                      channels, c.norm_num_groups));
    if (c.attention_head_dim > 0 && channels % c.attention_head_dim != 0)
      throw ConfigError(
          fmt::format("UNet2DModel: block_out_channels has {}, which does not split into heads of "
                      "attention_head_dim = {}",
                      channels, c.attention_head_dim));
  }
  if (c.attn_norm_num_groups > 0 && c.block_out_channels.back() % c.attn_norm_num_groups != 0)
    throw ConfigError(
        fmt::format("UNet2DModel: the middle block has {} channels, which do not split into "
                    "attn_norm_num_groups = {} groups",
                    c.block_out_channels.back(), c.attn_norm_num_groups));
  if (c.block_out_channels.front() / 2 <= c.freq_shift)
    throw ConfigError(fmt::format("UNet2DModel: block_out_channels[0] is {}, wanted more than {} with freq_shift = {}", c.block_out_channels.front(),
                                  2 * c.freq_shift + 1, c.freq_shift));
}

UNetBlockOptions shared_options(const UNet2DConfig& c, int64_t time_dim) {
  UNetBlockOptions options;
  options.downsample_padding = c.downsample_padding;
  options.attention_groups = c.norm_num_groups;
  options.head_dim = c.attention_head_dim;
  options.resnet.time_dim = time_dim;
  options.resnet.norm_groups = c.norm_num_groups;
  options.resnet.norm_eps = c.norm_eps;
  options.resnet.dropout = c.dropout;
  options.resnet.scale_shift = c.resnet_time_scale_shift == "scale_shift";
  return options;
}

UNetBlockOptions down_options(const UNet2DConfig& c, UNetBlockOptions options, size_t level) {
  options.in_channels = c.block_out_channels[level == 0 ? 0 : level - 1];
  options.out_channels = c.block_out_channels[level];
  options.num_layers = c.layers_per_block;
  options.attention = c.down_block_types[level] == "AttnDownBlock2D";
  options.resample = level + 1 < c.block_out_channels.size();
  return options;
}

UNetBlockOptions mid_options(const UNet2DConfig& c, UNetBlockOptions options) {
  options.in_channels = options.out_channels = c.block_out_channels.back();
  options.num_layers = 1;
  options.attention = c.add_attention;
  options.resnet.output_scale = c.mid_block_scale_factor;
  // As in the reference: with scale_shift and no attn_norm_num_groups the middle attention has no norm.
  options.attention_groups = c.attn_norm_num_groups > 0 ? c.attn_norm_num_groups : options.resnet.scale_shift ? 0 : c.norm_num_groups;
  return options;
}

// `position` counts up blocks from the coarsest.
UNetBlockOptions up_options(const UNet2DConfig& c, UNetBlockOptions options, size_t position) {
  const std::vector<int64_t> channels(c.block_out_channels.rbegin(), c.block_out_channels.rend());
  options.in_channels = channels[position == 0 ? 0 : position - 1];
  options.out_channels = channels[position];
  options.skip_channels = channels[std::min(position + 1, channels.size() - 1)];
  options.num_layers = c.layers_per_block + 1;
  options.attention = c.up_block_types[position] == "AttnUpBlock2D";
  options.resample = position + 1 < channels.size();
  return options;
}

}  // namespace

UNet2DImpl::UNet2DImpl(const UNet2DConfig& config) : config_(config) {
  check_config(config);
  const int64_t first = config.block_out_channels.front();
  const int64_t time_dim = config.time_embedding_dim > 0 ? config.time_embedding_dim : 4 * first;
  const UNetBlockOptions shared = shared_options(config, time_dim);
  conv_in = register_module("conv_in", make_conv(config.in_channels, first, 3, 1, 1));
  time_proj = register_module("time_proj", SinusoidalEmbedding(SinusoidalEmbeddingOptions{first, config.flip_sin_to_cos, config.freq_shift}));
  time_embedding = register_module("time_embedding", TimestepEmbedding(first, time_dim));
  torch::nn::ModuleList down_list, up_list;
  for (size_t i = 0; i < config.block_out_channels.size(); ++i) {
    down_blocks.emplace_back(down_options(config, shared, i));
    down_list->push_back(down_blocks.back());
    up_blocks.emplace_back(up_options(config, shared, i));
    up_list->push_back(up_blocks.back());
  }
  register_module("down_blocks", down_list);
  if (!config.mid_block_type.empty()) mid_block = register_module("mid_block", UNetMidBlock(mid_options(config, shared)));
  register_module("up_blocks", up_list);
  conv_norm_out = register_module("conv_norm_out", torch::nn::GroupNorm(torch::nn::GroupNormOptions(config.norm_num_groups, first).eps(config.norm_eps)));
  conv_out = register_module("conv_out", make_conv(first, config.out_channels, 3, 1, 1));
}

at::Tensor UNet2DImpl::embed_time(const at::Tensor& timestep, at::ScalarType dtype) {
  if (time_table_.defined() && timestep.scalar_type() == at::kLong) return time_table_.index_select(0, timestep);
  at::Tensor time;
  {
    TraceScope scope("time_proj");
    time = time_proj(timestep).to(dtype);
  }
  {
    TraceScope scope("time_embedding");
    time = at::silu(time_embedding(time));
  }
  return frozen_time_weight_.defined() ? at::linear(time, frozen_time_weight_, frozen_time_bias_) : time;
}

void UNet2DImpl::freeze(int64_t num_timesteps) {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> weights, biases;
  int64_t columns = 0;
  for (const auto& module : modules(/*include_self=*/false)) {
    if (auto* resnet = module->as<ResnetBlockImpl>()) {
      auto [weight, bias] = resnet->freeze(columns);
      columns += resnet->projection_size();
      weights.push_back(weight);
      biases.push_back(bias);
    } else if (auto* attention = module->as<SpatialAttentionImpl>()) {
      attention->freeze();
    }
  }
  frozen_time_weight_ = at::cat(weights);
  frozen_time_bias_ = at::cat(biases);
  if (num_timesteps > 0) time_table_ = embed_time(at::arange(num_timesteps, frozen_time_bias_.options().dtype(at::kLong)), frozen_time_bias_.scalar_type());
}

at::Tensor UNet2DImpl::forward(const at::Tensor& sample, const at::Tensor& timestep) {
  const int64_t multiple = int64_t{1} << (down_blocks.size() - 1);
  check(sample.dim() == 4 && sample.size(1) == config_.in_channels && sample.size(2) % multiple == 0 && sample.size(3) % multiple == 0,
        "UNet2D: sample is [{}], wanted [B, {}, Y, X] with Y and X multiples of {}", fmt::join(sample.sizes(), ", "), config_.in_channels, multiple);
  check(timestep.dim() == 1 && timestep.size(0) == sample.size(0), "UNet2D: timestep is [{}], wanted [{}]", fmt::join(timestep.sizes(), ", "), sample.size(0));

  const at::Tensor time = embed_time(timestep, sample.scalar_type());
  at::Tensor x;
  {
    TraceScope scope("conv_in");
    x = convolve(conv_in, config_.center_input_sample ? 2 * sample - 1 : sample);
    linden::trace(x);
  }
  std::vector<at::Tensor> skips = {x};
  for (size_t i = 0; i < down_blocks.size(); ++i) {
    TraceScope scope("down_blocks", static_cast<int64_t>(i));
    x = down_blocks[i]->forward(x, time, skips);
  }
  if (mid_block) {
    TraceScope scope("mid_block");
    x = mid_block(x, time);
  }
  for (size_t i = 0; i < up_blocks.size(); ++i) {
    TraceScope scope("up_blocks", static_cast<int64_t>(i));
    x = up_blocks[i]->forward(x, time, skips);
  }
  x = group_norm_silu(conv_norm_out, x);
  {
    TraceScope scope("conv_act");
    linden::trace(x);
  }
  TraceScope scope("conv_out");
  x = convolve(conv_out, x);
  linden::trace(x);
  return x;
}

UNet2D load_unet2d(const std::filesystem::path& folder, const std::string& weights) {
  UNet2D unet(read_model_config<UNet2DConfig>(folder));
  load_model_weights(*unet, folder, weights);
  unet->eval();
  return unet;
}

}  // namespace linden
