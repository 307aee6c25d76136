#include "models/video_dit.h"

#include <ATen/ops/randn.h>
#include <fmt/ranges.h>
#include <torch/nn/modules/container/modulelist.h>

#include <array>
#include <cmath>
#include <utility>

#include "core/error.h"
#include "models/model_folder.h"
#include "models/wan_checkpoint.h"
#include "models/weights.h"
#include "nn/activation_checkpoint.h"
#include "nn/stage.h"
#include "nn/trace.h"
#include "ops/adaptive_layer_norm.h"
#include "ops/linear_attention_kernels.h"

namespace linden {

VideoDitImpl::VideoDitImpl(const VideoDitConfig& config) : config_(config) {
  check_video_dit_config(config);
  const int64_t M = model_width(config), patch = config.patch_size[0] * config.patch_size[1] * config.patch_size[2];
  patch_embedding = register_module("patch_embedding", PatchEmbedding(config));
  condition_embedder = register_module("condition_embedder", ConditionEmbedder(config));
  torch::nn::ModuleList list;
  for (const std::string& kind : attention_of_blocks(config)) {
    blocks_.emplace_back(config, attention_kind_of(kind));
    list->push_back(blocks_.back());
  }
  register_module("blocks", list);
  proj_out = register_module("proj_out", Linear(M, num_output_channels(config) * patch));
  scale_shift_table = register_parameter("scale_shift_table", at::randn({1, 2, M}) / std::sqrt(static_cast<double>(M)));
}

VideoGrid VideoDitImpl::grid_of(const at::Tensor& latents) const {
  check_input(latents.dim() == 5 && latents.size(1) == config_.in_channels, "VideoDit: latents are [{}], wanted [B, {}, F, Y, X]",
              fmt::join(latents.sizes(), ", "), config_.in_channels);
  constexpr std::array<const char*, 3> kAxes = {"frames", "rows", "columns"};
  VideoGrid grid;
  for (size_t axis = 0; axis < 3; ++axis) {
    const int64_t size = latents.size(static_cast<int64_t>(axis) + 2), patch = config_.patch_size[axis];
    check_input(size > 0 && size % patch == 0, "VideoDit: latents have {} {}, wanted a multiple of the patch's {}; crop or pad the video", size, kAxes[axis],
                patch);
    grid[axis] = size / patch;
    check_input(grid[axis] <= config_.rope_max_seq_len,
                "VideoDit: latents have {} {}, which is {} patches; the rotary embedding has rope_max_seq_len = {}; take a smaller video or raise the key",
                size, kAxes[axis], grid[axis], config_.rope_max_seq_len);
  }
  return grid;
}

const RotaryTable& VideoDitImpl::rotary_table(const VideoGrid& grid, at::Device device) {
  const at::ScalarType dtype = accumulator_type(proj_out->weight.scalar_type());
  if (grid != table_grid_ || table_.cos.device() != device || table_.cos.scalar_type() != dtype) {
    table_ = make_rotary_table(grid, config_.attention_head_dim, dtype, device);
    table_grid_ = grid;
  }
  return table_;
}

TextCache VideoDitImpl::encode_text(const at::Tensor& text) {
  check_input(text.dim() == 3 && text.size(2) == config_.text_dim, "VideoDit: text is [{}], wanted [B, L, {}]", fmt::join(text.sizes(), ", "),
              config_.text_dim);
  check_input(text.size(1) >= 1 && text.size(1) <= config_.text_len, "VideoDit: text has {} tokens, wanted 1 to text_len = {}; cut the text or raise the key",
              text.size(1), config_.text_len);
  at::Tensor context;  // [B, L, M]
  {
    begin_stage("text_embedding");
    TraceScope scope("condition_embedder");
    context = condition_embedder->embed_text(text);
  }
  TextCache cache;
  for (VideoDitBlock& block : blocks_) cache.blocks.push_back(block->encode_text(context));
  return cache;
}

namespace {

// For `batch` videos, where the text is theirs or one for all.
KeysAndValues rows_for(const KeysAndValues& text, int64_t batch) {
  if (text.keys.size(0) == batch) return text;
  return {text.keys.expand({batch, -1, -1, -1}), text.values.expand({batch, -1, -1, -1})};
}

}  // namespace

VideoStream VideoDitImpl::run_block(size_t i, VideoStream stream, const at::Tensor& projection, const KeysAndValues& text, const RotaryTable& table) {
  VideoDitBlock& block = blocks_[i];
  if (!activation_checkpointing_) return block(std::move(stream), projection, text, table);
  std::vector<at::Tensor> inputs = {projection, text.keys, text.values, stream.residual};
  if (stream.branch.defined()) inputs.insert(inputs.end(), {stream.branch, stream.gate});
  const auto part = [block, table](const std::vector<at::Tensor>& in) mutable -> std::vector<at::Tensor> {
    VideoStream entering = in.size() > 4 ? VideoStream{in[3], in[4], in[5]} : VideoStream{in[3], {}, {}};
    const VideoStream leaving = block(std::move(entering), in[0], KeysAndValues{in[1], in[2]}, table);
    return {leaving.residual, leaving.branch, leaving.gate};
  };
  const std::vector<at::Tensor> out = checkpoint_activations(part, inputs, block->parameters());
  return {out[0], out[1], out[2]};
}

at::Tensor VideoDitImpl::head(const VideoStream& stream, const at::Tensor& embedding) {
  begin_stage("head");
  const std::vector<at::Tensor> m = (scale_shift_table + embedding.unsqueeze(1)).unbind(1);  // shift, scale: [B, M]
  const at::Tensor normed = adaptive_layer_norm({stream.residual, stream.branch, stream.gate, m[1], m[0], {}, {}}, config_.eps).normed;
  TraceScope scope("proj_out");
  const at::Tensor out = proj_out(normed);
  linden::trace(out);
  return out;
}

at::Tensor VideoDitImpl::forward(const at::Tensor& latents, const at::Tensor& timestep, const at::Tensor& text) {
  return forward_cached(latents, timestep, encode_text(text));
}

at::Tensor VideoDitImpl::forward_cached(const at::Tensor& latents, const at::Tensor& timestep, const TextCache& text) {
  const VideoGrid grid = grid_of(latents);
  const int64_t B = latents.size(0);
  check_input(timestep.dim() == 1 && timestep.size(0) == B, "VideoDit: timestep is [{}], wanted [{}], one a video", fmt::join(timestep.sizes(), ", "), B);
  check(text.blocks.size() == blocks_.size(), "VideoDit: the text cache has {} blocks, wanted {}: make it by encode_text of this model", text.blocks.size(),
        blocks_.size());
  const int64_t text_batch = text.blocks.front().keys.size(0);
  check_input(text_batch == B || text_batch == 1, "VideoDit: text has batch {}, wanted {} as latents, or 1 for all", text_batch, B);

  VideoStream stream;
  {
    begin_stage("patch_embedding");
    TraceScope scope("patch_embedding");
    stream.residual = patch_embedding(latents);
  }
  if (config_.residual_dtype == "fp32") stream.residual = stream.residual.to(accumulator_type(stream.residual.scalar_type()));
  TimeModulation time;
  {
    begin_stage("time_embedding");
    TraceScope scope("condition_embedder");
    time = condition_embedder->embed_time(timestep);
  }
  const RotaryTable table = rotary_table(grid, latents.device());
  for (size_t i = 0; i < blocks_.size(); ++i) {
    TraceScope scope("blocks", static_cast<int64_t>(i));
    stream = run_block(i, std::move(stream), time.projection, rows_for(text.blocks[i], B), table);
    if (tracing()) linden::trace(add_branch(stream));
  }
  return unpatchify(head(stream, time.embedding), grid, config_.patch_size);
}

void VideoDitImpl::freeze() {
  for (VideoDitBlock& block : blocks_) block->self_attention()->freeze();
}

void VideoDitImpl::to(torch::Device device, torch::Dtype dtype, bool non_blocking) {
  convert_but_keep_fp32(scale_shift_table, [&] { torch::nn::Module::to(device, dtype, non_blocking); });
}

void VideoDitImpl::to(torch::Dtype dtype, bool non_blocking) {
  convert_but_keep_fp32(scale_shift_table, [&] { torch::nn::Module::to(dtype, non_blocking); });
}

namespace {

// A transformer/ folder of diffusers: what save_model_folder writes.
bool is_own_layout(const std::filesystem::path& folder) {
  return std::filesystem::exists(folder / "config.json") && model_class_name(folder) == VideoDitConfig::kClassName;
}

// Any other: a pipeline, a file, the original code's naming.
VideoDit from_wan_checkpoint(const WanCheckpoint& checkpoint) {
  VideoDitConfig config;
  from_json(checkpoint.config_text(VideoDitConfig::nullable_keys()), (checkpoint.folder() / "config.json").string(), config);
  VideoDit model(config);
  load_weights(*model, checkpoint.tensors(), checkpoint.files().path().string());
  model->eval();
  return model;
}

}  // namespace

VideoDit load_video_dit(const std::filesystem::path& folder, const std::string& weights) {
  if (weights == "folder" && is_wan_checkpoint(folder) && !is_own_layout(folder)) return from_wan_checkpoint(WanCheckpoint(folder));
  VideoDit model(read_model_config<VideoDitConfig>(folder));
  load_model_weights(*model, folder, weights);
  model->eval();
  return model;
}

}  // namespace linden
