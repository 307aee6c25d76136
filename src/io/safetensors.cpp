#include "io/safetensors.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "core/error.h"
#include "core/logging.h"
#include "io/mapped_file.h"
#include "io/safetensors_header.h"

namespace linden {

struct SafetensorsFile::State {
  explicit State(const std::filesystem::path& path_)
      : path(path_), file(path_), header(parse_safetensors_header(path.string(), file.bytes())) {}
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

at::Tensor SafetensorsFile::tensor(const std::string& name) const {
  const auto found = state_->header.entries.find(name);
  check_input(found != state_->header.entries.end(), "{}: holds no tensor {} (it holds {} others)",
              state_->path.string(), quoted_name(name), state_->header.entries.size());
  const SafetensorsEntry& entry = found->second;
  const auto options = at::TensorOptions().dtype(entry.dtype);
  const size_t num_bytes = entry.end - entry.begin;
  if (num_bytes == 0) return at::empty(entry.shape, options);
  char* data = state_->file.data() + state_->header.data_start + entry.begin;
  if (entry.dtype == at::kBool) {
    const auto bad = std::find_if(data, data + num_bytes, [](char byte) { return byte != 0 && byte != 1; });
    check_input(bad == data + num_bytes, "{}: tensor {} is BOOL, but its byte {} is neither 0 nor 1",
                state_->path.string(), quoted_name(name), bad - data);
  }
  if (reinterpret_cast<uintptr_t>(data) % c10::elementSize(entry.dtype) == 0) {
    return at::from_blob(
        data, entry.shape, [state = state_](void*) {}, options);
  }
  at::Tensor copy = at::empty(entry.shape, options);
  std::memcpy(copy.data_ptr(), data, num_bytes);
  return copy;
}

namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr size_t kMaxIndexBytes = 100'000'000;

bool ends_with(const fs::path& path, std::string_view suffix) { return path.filename().string().ends_with(suffix); }
bool is_index(const fs::path& path) { return ends_with(path, ".index.json") && !ends_with(path, ".bin.index.json"); }

// The one file of a model folder: the usual names and indexes first, then any *.safetensors.
fs::path file_of_folder(const fs::path& folder) {
  std::vector<std::string> usual, others;
  std::error_code error;
  for (fs::directory_iterator item(folder, error), end; !error && item != end; item.increment(error)) {
    const std::string name = item->path().filename().string();
    if (name == "diffusion_pytorch_model.safetensors" || name == "model.safetensors" || is_index(item->path())) {
      usual.push_back(name);
    } else if (ends_with(item->path(), ".safetensors")) {
      others.push_back(name);
    }
  }
  check_input(!error, "{}: cannot be listed: {}", folder.string(), error.message());
  auto& candidates = usual.empty() ? others : usual;
  std::sort(candidates.begin(), candidates.end());
  check_input(!candidates.empty(),
              "{}: holds no safetensors file (looked for diffusion_pytorch_model.safetensors, "
              "model.safetensors, *.index.json, *.safetensors)",
              folder.string());
  check_input(candidates.size() == 1, "{}: holds several candidates: {}; name one of them", folder.string(),
              fmt::join(candidates, ", "));
  return folder / candidates.front();
}

json parse_index(const fs::path& path) {
  const MappedFile file(path);
  check_input(file.size() <= kMaxIndexBytes, "{}: has {} bytes, more than {} for an index", path.string(), file.size(),
              kMaxIndexBytes);
  std::vector<std::set<std::string>> keys;  // of the objects that are open
  const auto watch = [&](int, json::parse_event_t event, json& value) {
    if (event == json::parse_event_t::object_start) keys.emplace_back();
    if (event == json::parse_event_t::object_end) keys.pop_back();
    if (event == json::parse_event_t::key) {
      const auto& key = value.get_ref<const std::string&>();
      check_input(keys.back().insert(key).second, "{}: the key {} appears twice", path.string(), quoted_name(key));
    }
    return true;
  };
  try {
    return json::parse(file.bytes().begin(), file.bytes().end(), watch);
  } catch (const json::exception& problem) {
    throw InputError(fmt::format("{}: is not valid JSON: {}", path.string(), problem.what()));
  }
}

// {shard file: tensor names} of an index.
std::map<std::string, std::vector<std::string>> read_index(const fs::path& path) {
  const json index = parse_index(path);
  check_input(index.is_object() && index.contains("weight_map") && index["weight_map"].is_object(),
              "{}: has no object \"weight_map\": not the index of a sharded checkpoint", path.string());
  std::map<std::string, std::vector<std::string>> shards;
  for (const auto& [name, shard] : index["weight_map"].items()) {
    check_input(shard.is_string(), "{}: weight_map of {} is not a file name", path.string(), quoted_name(name));
    const auto& file = shard.get_ref<const std::string&>();
    check_input(!file.empty() && file != "." && file != ".." && file.find('/') == std::string::npos &&
                    file.find('\0') == std::string::npos,
                "{}: weight_map of {} is {}: wanted the plain name of a file beside the index", path.string(),
                quoted_name(name), quoted_name(file));
    shards[file].push_back(name);
  }
  return shards;
}

NamedTensors load_index(const fs::path& path) {
  const auto shards = read_index(path);
  const fs::path folder = path.parent_path();
  std::vector<std::string> missing;
  for (const auto& [file, names] : shards) {
    std::error_code ignored;
    if (!fs::is_regular_file(folder / file, ignored)) missing.push_back(file);
  }
  check_input(missing.empty(), "{}: names shards that are missing beside it: {}", path.string(),
              fmt::join(missing, ", "));
  NamedTensors tensors;
  for (const auto& [file, names] : shards) {
    const SafetensorsFile shard(folder / file);
    for (const auto& name : names) {
      check_input(shard.contains(name), "{}: says that tensor {} is in {}, which does not hold it", path.string(),
                  quoted_name(name), file);
      tensors.emplace(name, shard.tensor(name));
    }
    const size_t unlisted = shard.names().size() - names.size();
    if (unlisted > 0) {
      log_warning("{}: {} tensors of {} are not in its weight_map and were left out", path.string(), unlisted, file);
    }
  }
  return tensors;
}

}  // namespace

NamedTensors load_safetensors(const std::filesystem::path& path) {
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) return load_safetensors(file_of_folder(path));
  if (is_index(path)) return load_index(path);
  const SafetensorsFile file(path);
  NamedTensors tensors;
  for (const auto& name : file.names()) tensors.emplace(name, file.tensor(name));
  return tensors;
}

}  // namespace linden
