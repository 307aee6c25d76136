#include "io/safetensors_set.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "core/error.h"
#include "core/logging.h"
#include "io/safetensors_header.h"
#include "io/safetensors_index.h"

namespace linden {
namespace {

namespace fs = std::filesystem;

// "a, b, c and 5 more"
std::string listed(const std::vector<std::string>& items) {
  constexpr size_t kShown = 10;
  const size_t shown = std::min(items.size(), kShown);
  std::string text = fmt::format("{}", fmt::join(items.begin(), items.begin() + static_cast<std::ptrdiff_t>(shown), ", "));
  return items.size() == shown ? text : fmt::format("{} and {} more", text, items.size() - shown);
}

}  // namespace

SafetensorsSet::SafetensorsSet(const fs::path& path) : path_(path) {
  std::error_code ignored;
  std::vector<fs::path> files = {path};
  if (fs::is_directory(path, ignored)) files = safetensors_of_folder(path);
  if (files.size() == 1) path_ = files.front();
  if (is_safetensors_index(path_)) open_index();
  else open_shards(files);
}

void SafetensorsSet::open_index() {
  const auto shards = read_safetensors_index(path_);
  const fs::path folder = path_.parent_path();
  std::vector<std::string> missing;
  std::map<std::string, std::string> place;  // tensor -> shard
  for (const auto& [file, names] : shards) {
    std::error_code ignored;
    if (!fs::is_regular_file(folder / file, ignored)) missing.push_back(file);
    for (const std::string& name : names) place.emplace(name, file);
  }
  check_input(missing.empty(), "{}: names shards that are missing beside it: {}", path_.string(), listed(missing));
  for (const auto& [file, names] : shards) {
    const SafetensorsFile& shard = files_.emplace_back(folder / file);
    std::vector<std::string> absent;
    for (const std::string& name : names) {
      if (!shard.contains(name)) absent.push_back(quoted_name(name));
      file_of_.emplace(name, files_.size() - 1);
    }
    check_input(absent.empty(), "{}: says that tensor{} {} in {}, which does not hold {}", path_.string(), absent.size() == 1 ? "" : "s",
                listed(absent) + (absent.size() == 1 ? " is" : " are"), file, absent.size() == 1 ? "it" : "them");
    size_t unlisted = 0;
    for (const std::string& name : shard.names()) {
      const auto other = place.find(name);
      check_input(other == place.end() || other->second == file, "{}: tensor {} is there twice, in {} (where weight_map places it) and in {}", path_.string(),
                  quoted_name(name), other == place.end() ? "" : other->second, file);
      unlisted += other == place.end();
    }
    if (unlisted > 0) log_warning("{}: {} tensors of {} are not in its weight_map and were left out", path_.string(), unlisted, file);
  }
}

void SafetensorsSet::open_shards(const std::vector<fs::path>& shards) {
  for (const fs::path& shard : shards) {
    files_.emplace_back(shard);
    for (const std::string& name : files_.back().names()) {
      const auto [place, fresh] = file_of_.emplace(name, files_.size() - 1);
      check_input(fresh, "{}: tensor {} is there twice, in {} and in {}", path_.string(), quoted_name(name), shards[place->second].filename().string(),
                  shard.filename().string());
    }
  }
}

const SafetensorsFile& SafetensorsSet::file_of(const std::string& name) const {
  const auto found = file_of_.find(name);
  check_input(found != file_of_.end(), "{}: holds no tensor {} (it holds {} others)", path_.string(), quoted_name(name), file_of_.size());
  return files_[found->second];
}

std::vector<std::string> SafetensorsSet::names() const {
  std::vector<std::string> names;
  names.reserve(file_of_.size());
  for (const auto& [name, file] : file_of_) names.push_back(name);
  return names;
}

TensorSpec SafetensorsSet::spec(const std::string& name) const { return file_of(name).spec(name); }
at::Tensor SafetensorsSet::tensor(const std::string& name) const { return file_of(name).tensor(name); }
std::string_view SafetensorsSet::bytes(const std::string& name) const { return file_of(name).bytes(name); }
Metadata SafetensorsSet::metadata() const { return files_.empty() ? Metadata() : files_.front().metadata(); }

void SafetensorsSet::release_pages() const {
  for (const SafetensorsFile& file : files_) file.release_pages();
}

NamedTensors load_safetensors(const fs::path& path) {
  const SafetensorsSet set(path);
  NamedTensors tensors;
  for (const std::string& name : set.names()) tensors.emplace(name, set.tensor(name));
  return tensors;
}

}  // namespace linden
