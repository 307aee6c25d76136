#include "io/safetensors_index.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string_view>

#include "core/error.h"
#include "io/mapped_file.h"
#include "io/safetensors_header.h"

namespace linden {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr size_t kMaxIndexBytes = 100'000'000;
constexpr std::string_view kEnding = ".safetensors";

bool ends_with(const fs::path& path, std::string_view suffix) { return path.filename().string().ends_with(suffix); }

json parse_index(const fs::path& path) {
  const MappedFile file(path);
  check_input(file.size() <= kMaxIndexBytes, "{}: has {} bytes, more than {} for an index", path.string(), file.size(), kMaxIndexBytes);
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
  } catch (const json::exception& problem) { throw InputError(fmt::format("{}: is not valid JSON: {}", path.string(), problem.what())); }
}

// Of "STEM-00002-of-00006.safetensors": its stem and the 6.
struct ShardName {
  std::string stem;
  size_t num_shards = 0;
};
std::optional<ShardName> parse_shard_name(const std::string& name) {
  constexpr size_t kTail = std::string_view("-00001-of-00002.safetensors").size();
  if (name.size() <= kTail) return std::nullopt;
  const std::string stem = name.substr(0, name.size() - kTail), tail = name.substr(name.size() - kTail);
  const std::string first = tail.substr(1, 5), count = tail.substr(10, 5);
  const auto digits = [](const std::string& text) { return text.find_first_not_of("0123456789") == std::string::npos; };
  if (!digits(first) || !digits(count)) return std::nullopt;
  const ShardName shard{stem, std::stoul(count)};
  const bool same = shard_file_name(stem, std::stoul(first), shard.num_shards) == name;
  return same ? std::optional(shard) : std::nullopt;
}

// The whole set of which `names` (sorted, not empty) are shards; nothing where they are not shards of one set.
std::vector<std::string> whole_set(const std::vector<std::string>& names) {
  const auto first = parse_shard_name(names.front());
  if (!first) return {};  // (its count has five digits: the loop is short)
  std::vector<std::string> wanted;
  for (size_t number = 1; number <= first->num_shards; ++number) wanted.push_back(shard_file_name(first->stem, number, first->num_shards));
  return std::includes(wanted.begin(), wanted.end(), names.begin(), names.end()) ? wanted : std::vector<std::string>();
}

}  // namespace

bool is_safetensors_index(const fs::path& path) { return ends_with(path, ".index.json") && !ends_with(path, ".bin.index.json"); }

std::string shard_file_name(const std::string& stem, size_t number, size_t num_shards) {
  if (num_shards == 1) return fmt::format("{}{}", stem, kEnding);
  return fmt::format("{}-{:05}-of-{:05}{}", stem, number, num_shards, kEnding);
}

std::map<std::string, std::vector<std::string>> read_safetensors_index(const fs::path& path) {
  const json index = parse_index(path);
  check_input(index.is_object() && index.contains("weight_map") && index["weight_map"].is_object(),
              "{}: has no object \"weight_map\": not the index of a sharded checkpoint", path.string());
  std::map<std::string, std::vector<std::string>> shards;
  for (const auto& [name, shard] : index["weight_map"].items()) {
    check_input(shard.is_string(), "{}: weight_map of {} is not a file name", path.string(), quoted_name(name));
    const auto& file = shard.get_ref<const std::string&>();
    check_input(!file.empty() && file != "." && file != ".." && file.find('/') == std::string::npos && file.find('\0') == std::string::npos,
                "{}: weight_map of {} is {}: wanted the plain name of a file beside the index", path.string(), quoted_name(name), quoted_name(file));
    shards[file].push_back(name);
  }
  return shards;
}

std::string safetensors_index_text(const std::map<std::string, std::string>& file_of_tensor, uint64_t total_bytes) {
  json index;
  index["metadata"]["total_size"] = total_bytes;
  index["weight_map"] = file_of_tensor;
  return index.dump(2, ' ', /*ensure_ascii=*/true) + "\n";
}

std::vector<fs::path> safetensors_of_folder(const fs::path& folder) {
  std::vector<std::string> usual, others;
  std::error_code error;
  for (fs::directory_iterator item(folder, error), end; !error && item != end; item.increment(error)) {
    const std::string name = item->path().filename().string();
    if (name == "diffusion_pytorch_model.safetensors" || name == "model.safetensors" || is_safetensors_index(item->path())) {
      usual.push_back(name);
    } else if (ends_with(item->path(), kEnding)) {
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
  const std::vector<std::string> set = whole_set(candidates);
  if (!set.empty()) {
    std::vector<std::string> missing;
    std::set_difference(set.begin(), set.end(), candidates.begin(), candidates.end(), std::back_inserter(missing));
    check_input(missing.empty(), "{}: {} of the {} shards are missing: {}", folder.string(), missing.size(), set.size(), fmt::join(missing, ", "));
    std::vector<fs::path> files;
    for (const std::string& name : set) files.push_back(folder / name);
    return files;
  }
  check_input(candidates.size() == 1, "{}: holds several candidates: {}; name one of them", folder.string(), fmt::join(candidates, ", "));
  return {folder / candidates.front()};
}

}  // namespace linden
