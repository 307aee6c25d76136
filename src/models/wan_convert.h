// Writes a Wan checkpoint in the other layout, in another precision or in other shards, tensor by tensor: no more than
// a few MB of it are in memory at a time, however large it is.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "models/wan_checkpoint.h"

namespace linden {

struct WanConversion {
  WanNaming to = WanNaming::kDiffusers;
  // Floating tensors become this; those that the reference keeps in fp32 (is_kept_in_fp32) become fp32. Nothing: all stay.
  std::optional<at::ScalarType> dtype;
  uint64_t max_shard_bytes = 5'000'000'000;
};

// What will be written: the same checkpoint and options give the same files, byte for byte.
struct WanConversionPlan {
  struct File {
    std::string name;
    std::vector<TensorSpec> tensors;  // under their new names
    uint64_t num_bytes = 0;           // of data
  };
  std::string config;  // config.json
  std::vector<File> files;
  std::string index;  // diffusion_pytorch_model.safetensors.index.json, or empty for one file
  uint64_t num_bytes = 0;
};

WanConversionPlan plan_conversion(const WanCheckpoint& source, const WanConversion& conversion);

// Fills the new folder `target`; it appears when all is written. `on_bytes` is told how many bytes of data are written
// so far. Throws InputError (the target exists; too little room), Interrupted, std::runtime_error with the system's reason.
void write_conversion(const WanCheckpoint& source, const WanConversion& conversion, const std::filesystem::path& target,
                      const std::function<void(uint64_t)>& on_bytes = {});

// "keep" (nothing), "fp32", "bf16", "fp16". Throws InputError.
std::optional<at::ScalarType> parse_conversion_dtype(const std::string& text);
// "5GB", "500MB", "20 KB", "1e9": TB, GB, MB, KB are powers of 1000. Throws InputError.
uint64_t parse_byte_size(const std::string& text);

}  // namespace linden
