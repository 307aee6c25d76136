#include "models/video_dit_config.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "core/error.h"
#include "nn/self_attention.h"

namespace linden {

NullableKeys VideoDitConfig::nullable_keys() {
  NullableKeys keys;
  keys.numbers = {"out_channels", "image_dim", "added_kv_proj_dim", "pos_embed_seq_len"};
  keys.added = {"text_len", "residual_dtype", "attention", "feature_map"};
  return keys;
}

void visit_fields(FieldVisitor& v, VideoDitConfig& c) {
  visit(v, Field("patch_size", "frames, rows and columns of a patch: one token").at_least(1), c.patch_size);
  visit(v, Field("num_attention_heads", "heads of every attention").at_least(1), c.num_attention_heads);
  visit(v, Field("attention_head_dim", "channels of a head, an even number").at_least(6), c.attention_head_dim);
  visit(v, Field("in_channels", "channels of the noisy latents").at_least(1), c.in_channels);
  visit(v, Field("out_channels", "channels of the velocity; 0: in_channels").at_least(0), c.out_channels);
  visit(v, Field("text_dim", "channels of the text features").at_least(1), c.text_dim);
  visit(v, Field("freq_dim", "frequencies of the time embedding, an even number").at_least(2), c.freq_dim);
  visit(v, Field("ffn_dim", "inner channels of the feed-forward part").at_least(1), c.ffn_dim);
  visit(v, Field("num_layers", "blocks").at_least(1), c.num_layers);
  visit(v, Field("cross_attn_norm", "LayerNorm before cross-attention"), c.cross_attn_norm);
  visit(v, Field("qk_norm", "norm of queries and keys").one_of({"rms_norm_across_heads"}), c.qk_norm);
  visit(v, Field("eps", "epsilon of every norm").above(0), c.eps);
  visit(v, Field("image_dim", "image conditioning: none").between(0, 0), c.image_dim);
  visit(v, Field("added_kv_proj_dim", "image conditioning: none").between(0, 0), c.added_kv_proj_dim);
  visit(v, Field("rope_max_seq_len", "most patches along frames, rows or columns").at_least(1), c.rope_max_seq_len);
  visit(v, Field("pos_embed_seq_len", "image conditioning: none").between(0, 0), c.pos_embed_seq_len);
  visit(v, Field("text_len", "most text tokens").at_least(1), c.text_len);
  visit(v,
        Field("residual_dtype", "dtype of the residual stream under bf16 weights: model (bf16, as diffusers) or fp32 (as the original)")
            .one_of({"model", "fp32"}),
        c.residual_dtype);
  visit(v, Field("attention", "kind of each block's self-attention; none: softmax everywhere; one: the same everywhere").one_of(attention_kind_names()),
        c.attention);
  visit(v, Field("feature_map", "feature map of the linear and gated blocks"), c.feature_map);
}

int64_t model_width(const VideoDitConfig& c) { return c.num_attention_heads * c.attention_head_dim; }
int64_t num_output_channels(const VideoDitConfig& c) { return c.out_channels > 0 ? c.out_channels : c.in_channels; }

std::vector<std::string> attention_of_blocks(const VideoDitConfig& c) {
  const size_t blocks = static_cast<size_t>(c.num_layers), count = c.attention.size();
  if (count == 0) return std::vector<std::string>(blocks, "softmax");
  if (count == 1) return std::vector<std::string>(blocks, c.attention.front());
  if (count != blocks)
    throw ConfigError(
        fmt::format("WanTransformer3DModel: attention names {} kinds, and the model has num_layers = {} blocks; "
                    "give one kind a block, one kind for all, or none for softmax everywhere",
                    count, blocks));
  return c.attention;
}

void check_video_dit_config(const VideoDitConfig& c) {
  if (c.patch_size.size() != 3)
    throw ConfigError(fmt::format("WanTransformer3DModel: patch_size has {} entries, wanted 3: frames, rows, columns", c.patch_size.size()));
  if (c.attention_head_dim % 2 != 0)
    throw ConfigError(
        fmt::format("WanTransformer3DModel: attention_head_dim is {}, wanted an even number, since the rotary embedding turns pairs", c.attention_head_dim));
  if (c.freq_dim % 2 != 0) throw ConfigError(fmt::format("WanTransformer3DModel: freq_dim is {}, wanted an even number", c.freq_dim));
  const std::vector<std::string> kinds = attention_of_blocks(c);
  constexpr std::array<int64_t, 4> kLinearHeadDims = {32, 64, 96, 128};  // of the operator linear_attention
  const bool all_softmax = std::all_of(kinds.begin(), kinds.end(), [](const std::string& kind) { return kind == "softmax"; });
  if (!all_softmax && std::find(kLinearHeadDims.begin(), kLinearHeadDims.end(), c.attention_head_dim) == kLinearHeadDims.end())
    throw ConfigError(
        fmt::format("WanTransformer3DModel: attention_head_dim is {}, and linear attention is made for {}; choose one of them, or softmax everywhere",
                    c.attention_head_dim, fmt::join(kLinearHeadDims, ", ")));
}

}  // namespace linden
