// safetensors: 8-byte little-endian header length, JSON header, raw tensors.
// Format: huggingface/safetensors README ("Format").
//
// The reader maps the file and validates before it hands out anything: header size (<= 100 MB), JSON,
// known dtypes, shape x dtype = bytes, offsets inside the file, no overlap, no hole, no duplicate name.
// Every failure is an InputError that names the file, the tensor, got and wanted.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace linden {

using NamedTensors = std::map<std::string, at::Tensor>;
using Metadata = std::map<std::string, std::string>;

class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::filesystem::path& path);
  std::vector<std::string> names() const;
  bool contains(const std::string& name) const;
  // CPU view of the mapped file (a copy where the data are not aligned); the tensor keeps the mapping alive.
  // Writing into it changes this process's pages, never the file.
  at::Tensor tensor(const std::string& name) const;
  const Metadata& metadata() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

// All tensors of one .safetensors file, of a sharded `*.index.json`, or of a folder that holds either:
// diffusion_pytorch_model.safetensors, model.safetensors or an index; failing those, its only *.safetensors.
// Several candidates are an InputError that names them.
NamedTensors load_safetensors(const std::filesystem::path& path);
// Writes under a temporary name and renames; std::runtime_error with the reason, and the old file stays. CPU or GPU
// tensors, any dtype that the format has; data in name order, header padded to 8 bytes: the same tensors give the
// same bytes.
void save_safetensors(const std::filesystem::path& path, const NamedTensors& tensors, const Metadata& metadata = {});

}  // namespace linden
