// The tensors of Wan 2.1's video transformer in both of its namings: that of huggingface/diffusers
// (models/transformers/transformer_wan.py), which linden's own network has, and that of the original code
// (Wan-Video/Wan2.1, wan/modules/model.py). One table, read in both directions.
//
// A name is looked up whole, never replaced piece by piece: the affine norm before cross-attention is `norm3` in the
// original and `norm2` in diffusers, and a substring would meet the one after the other. Compare
// scripts/convert_wan_to_diffusers.py of diffusers, which swaps them by way of a third name.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "models/tensor_fit.h"

namespace linden {

enum class WanNaming { kDiffusers, kOriginal };

// Sizes that the shapes follow from. M model width, patch [frames, rows, columns].
struct WanSizes {
  int64_t num_layers = 30, width = 1536, ffn_dim = 8960, text_dim = 4096, freq_dim = 256;
  int64_t in_channels = 16, out_channels = 16;
  std::vector<int64_t> patch = {1, 2, 2};
};

// The name of the same tensor in the other naming; nothing where the table has no such tensor. linden's own tensors of
// linear attention (attn1.phi_q, phi_k, gate, and what is below them) are in it.
std::optional<std::string> wan_name(const std::string& name, WanNaming from, WanNaming to);

// Every tensor that a network of softmax attention has, with its shape: 27 a block and 15 outside.
TensorShapes wan_shapes(const WanSizes& sizes, WanNaming naming);

// One of linden's own, which a network may have on top of those.
bool is_linear_attention_tensor(const std::string& name, WanNaming naming);

// Sorts names of the table in the order in which the reference's module lists them, which decides how a checkpoint is
// split into shards. CheckError: a name that the table lacks.
std::vector<std::string> in_module_order(std::vector<std::string> names, WanNaming naming);

// The reference keeps this tensor in fp32 when it loads the rest in half precision (diffusers, `_keep_in_fp32_modules`);
// linden's gates, too.
bool is_kept_in_fp32(const std::string& diffusers_name);

}  // namespace linden
