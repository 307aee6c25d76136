// The index of a sharded checkpoint, and which files of a folder are its checkpoint.
// Format: huggingface/huggingface_hub, src/huggingface_hub/serialization/_base.py.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace linden {

bool is_safetensors_index(const std::filesystem::path& path);

// {shard: names of its tensors} of an index. Throws InputError: no JSON, a key twice, no weight_map, a shard that is no
// plain file name.
std::map<std::string, std::vector<std::string>> read_safetensors_index(const std::filesystem::path& path);

// The index as the reference writes it, sorted by tensor.
std::string safetensors_index_text(const std::map<std::string, std::string>& file_of_tensor, uint64_t total_bytes);

// The file, the index, or all shards of a set without an index. Throws InputError: none, several candidates, an
// incomplete set of shards.
std::vector<std::filesystem::path> safetensors_of_folder(const std::filesystem::path& folder);

// "STEM-00001-of-00002.safetensors", or "STEM.safetensors" where there is one only. `number` counts from 1.
std::string shard_file_name(const std::string& stem, size_t number, size_t num_shards);

}  // namespace linden
