// The tensors of a checkpoint, by name, wherever they lie: one .safetensors file or many shards. Nothing is read before
// it is asked for.
//
// An index (`*.safetensors.index.json`) is that of huggingface/transformers and diffusers: {"weight_map": {tensor: file}}.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "io/safetensors.h"

namespace linden {

class SafetensorsSet {
 public:
  // `path` is a .safetensors file, an index, or a folder that holds either: diffusion_pytorch_model.safetensors,
  // model.safetensors or an index; failing those, the shards NAME-00001-of-0000N.safetensors ..., or its only *.safetensors.
  // Throws InputError: several candidates; what SafetensorsFile refuses; shards that are missing; tensors that the index
  // places in a shard without them; a tensor in two shards.
  explicit SafetensorsSet(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }  // the file or the index; the folder of shards without one
  size_t num_files() const { return files_.size(); }
  size_t num_tensors() const { return file_of_.size(); }
  std::vector<std::string> names() const;  // sorted
  bool contains(const std::string& name) const { return file_of_.contains(name); }
  TensorSpec spec(const std::string& name) const;
  at::Tensor tensor(const std::string& name) const;       // as SafetensorsFile::tensor
  std::string_view bytes(const std::string& name) const;  // as SafetensorsFile::bytes
  void release_pages() const;
  Metadata metadata() const;  // of the first file

 private:
  void open_index();
  void open_shards(const std::vector<std::filesystem::path>& shards);
  const SafetensorsFile& file_of(const std::string& name) const;

  std::filesystem::path path_;
  std::vector<SafetensorsFile> files_;
  std::map<std::string, size_t> file_of_;
};

}  // namespace linden
