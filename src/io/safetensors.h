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
#include <string_view>
#include <vector>

namespace linden {

using NamedTensors = std::map<std::string, at::Tensor>;
using Metadata = std::map<std::string, std::string>;

// What a file says of a tensor without its values.
struct TensorSpec {
  std::string name;
  at::ScalarType dtype = at::kFloat;
  std::vector<int64_t> shape;
  uint64_t num_bytes() const;
  bool operator==(const TensorSpec&) const = default;
};

class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::filesystem::path& path);
  std::vector<std::string> names() const;
  bool contains(const std::string& name) const;
  // CPU view of the mapped file (a copy where the data are not aligned); the tensor keeps the mapping alive.
  // Writing into it changes this process's pages, never the file.
  at::Tensor tensor(const std::string& name) const;
  TensorSpec spec(const std::string& name) const;
  std::string_view bytes(const std::string& name) const;  // of the mapped file; valid as long as this object
  // Gives the mapped pages back: for readers of bytes() that walk through a file larger than memory.
  void release_pages() const;
  const Metadata& metadata() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

// All tensors of a file, an index or a folder (io/safetensors_set.h says which file of a folder).
NamedTensors load_safetensors(const std::filesystem::path& path);
// Writes under a temporary name and renames; std::runtime_error with the reason, and the old file stays. CPU or GPU
// tensors, any dtype that the format has; the same tensors give the same bytes, those of the reference package
// (io/safetensors_writer.h).
void save_safetensors(const std::filesystem::path& path, const NamedTensors& tensors, const Metadata& metadata = {});

}  // namespace linden
