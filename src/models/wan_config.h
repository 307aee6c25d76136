// config.json of a Wan 2.1 text-to-video transformer in both layouts, and the way from one to the other.
//
//   diffusers                                   original
//   _class_name WanTransformer3DModel           _class_name WanModel
//   num_attention_heads, attention_head_dim     num_heads, dim (their product)
//   in_channels, out_channels                   in_dim, out_dim
//   ffn_dim, freq_dim, num_layers, eps          the same
//   patch_size, text_dim                        left out (1x2x2, 4096), or the same names where they differ
//   qk_norm, cross_attn_norm                    left out (both are always on)
//   added_kv_proj_dim, image_dim, pos_embed_seq_len: null      model_type t2v
//   rope_max_seq_len                            – (1024)
//   –                                           text_len (512)
//   anything else, linden's list `attention` above all: the same
//
// A converted file keeps the file that it came from under `_converted_from`, which both libraries pass over (keys with
// an underscore): the way back gives that file, byte for byte where it was written as the reference writes JSON.
#pragma once

#include <string>

#include "models/wan_names.h"

namespace linden {

const char* wan_class_name(WanNaming naming);

// `json` is the text of a config.json, `origin` names it in messages. All throw InputError: no JSON object, a model of
// another class or task, a key missing or of the wrong type.
WanNaming wan_config_naming(const std::string& json, const std::string& origin);
WanSizes wan_sizes(const std::string& json, const std::string& origin);
// The file in the layout `to`; the same text, written as the reference does, where it has that layout.
std::string convert_wan_config(const std::string& json, const std::string& origin, WanNaming to);

}  // namespace linden
