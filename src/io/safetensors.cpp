#include "io/safetensors.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/error.h"
#include "io/mapped_file.h"
#include "io/safetensors_header.h"

namespace linden {

struct SafetensorsFile::State {
  explicit State(const std::filesystem::path& path_) : path(path_), file(path_), header(parse_safetensors_header(path.string(), file.bytes())) {}
  const SafetensorsEntry& entry(const std::string& name) const {
    const auto found = header.entries.find(name);
    check_input(found != header.entries.end(), "{}: holds no tensor {} (it holds {} others)", path.string(), quoted_name(name), header.entries.size());
    return found->second;
  }
  std::filesystem::path path;
  MappedFile file;
  SafetensorsHeader header;
};

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path) : state_(std::make_shared<State>(path)) {}

std::vector<std::string> SafetensorsFile::names() const {
  std::vector<std::string> names;
  names.reserve(state_->header.entries.size());
  for (const auto& [name, entry] : state_->header.entries) names.push_back(name);
  return names;
}

bool SafetensorsFile::contains(const std::string& name) const { return state_->header.entries.contains(name); }

const Metadata& SafetensorsFile::metadata() const { return state_->header.metadata; }

TensorSpec SafetensorsFile::spec(const std::string& name) const {
  const SafetensorsEntry& entry = state_->entry(name);
  return {name, entry.dtype, entry.shape};
}

std::string_view SafetensorsFile::bytes(const std::string& name) const {
  const SafetensorsEntry& entry = state_->entry(name);
  return state_->file.bytes().substr(state_->header.data_start + entry.begin, entry.end - entry.begin);
}

void SafetensorsFile::release_pages() const { state_->file.release_pages(); }

uint64_t TensorSpec::num_bytes() const {
  uint64_t bytes = c10::elementSize(dtype);
  for (const int64_t size : shape) bytes *= static_cast<uint64_t>(size);
  return bytes;
}

at::Tensor SafetensorsFile::tensor(const std::string& name) const {
  const SafetensorsEntry& entry = state_->entry(name);
  const auto options = at::TensorOptions().dtype(entry.dtype);
  const size_t num_bytes = entry.end - entry.begin;
  if (num_bytes == 0) return at::empty(entry.shape, options);
  char* data = state_->file.data() + state_->header.data_start + entry.begin;
  if (entry.dtype == at::kBool) {
    const auto bad = std::find_if(data, data + num_bytes, [](char byte) { return byte != 0 && byte != 1; });
    check_input(bad == data + num_bytes, "{}: tensor {} is BOOL, but its byte {} is neither 0 nor 1", state_->path.string(), quoted_name(name), bad - data);
  }
  if (reinterpret_cast<uintptr_t>(data) % c10::elementSize(entry.dtype) == 0) {
    return at::from_blob(
        data, entry.shape, [state = state_](void*) {}, options);
  }
  at::Tensor copy = at::empty(entry.shape, options);
  std::memcpy(copy.data_ptr(), data, num_bytes);
  return copy;
}

}  // namespace linden
