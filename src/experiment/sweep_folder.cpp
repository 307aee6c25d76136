#include "experiment/sweep_folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "core/error.h"
#include "core/files.h"

namespace linden {
namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

constexpr int kKeptAttempts = 3;
// What every run folder has from its first moment: nothing to resume from.
const std::set<std::string> kBookkeeping = {"config.json", "run.lock", "command.json", "environment.json", "log.txt", "log.jsonl", "metrics.csv"};

std::unique_ptr<ConfigRef> config_in(const fs::path& file, const SweepTarget& target) {
  std::unique_ptr<ConfigRef> config = target.config();
  config_from_json(read_text_file(file), file.string(), *config);
  return config;
}

bool has_results(const fs::path& run) {
  return std::any_of(fs::directory_iterator(run), fs::directory_iterator(), [](const fs::directory_entry& entry) {
    const std::string name = entry.path().filename().string();
    return !kBookkeeping.contains(name) && !name.starts_with("events.out.tfevents") && name.find(".tmp") == std::string::npos;
  });
}

bool holds(const std::vector<std::string>& names, const std::string& name) { return std::find(names.begin(), names.end(), name) != names.end(); }

std::string csv_word(const std::string& word) { return word.find(',') == std::string::npos ? word : '"' + word + '"'; }

// sources/<stem>.json, with a number where that name is taken.
std::string source_name(const std::string& file, const SweepManifest& manifest) {
  const std::string stem = fs::path(file).stem().string();
  const auto taken = [&](const std::string& name) {
    return std::any_of(manifest.sources.begin(), manifest.sources.end(), [&](const auto& source) { return source.second == name; });
  };
  std::string name = fmt::format("sources/{}.json", stem);
  for (int number = 2; taken(name); ++number) name = fmt::format("sources/{}-{}.json", stem, number);
  return name;
}

}  // namespace

fs::path base_config_file(const SweepConfig& config, const std::string& name) {
  const fs::path beside = config.file.parent_path() / name;
  if (fs::exists(beside) || fs::path(name).is_absolute()) return beside;
  if (fs::exists(name)) return name;
  throw ConfigError(
      fmt::format("{}: config is \"{}\", but there is neither {} nor {} in the working directory", config.file.string(), name, beside.string(), name));
}

const FrozenCell* SweepManifest::find(const std::string& name) const {
  const auto found = std::find_if(cells.begin(), cells.end(), [&](const FrozenCell& cell) { return cell.name == name; });
  return found == cells.end() ? nullptr : &*found;
}

bool SweepFolder::exists() const { return fs::exists(path_ / "sweep.lock") || is_frozen(); }
bool SweepFolder::is_frozen() const { return fs::exists(path_ / "cells.json"); }

void SweepFolder::require_usable(bool resume) const {
  check_input(!fs::exists(path_) || fs::is_directory(path_), "{}: this is a file, wanted a folder; choose another --output", path_.string());
  if (exists()) {
    check_input(resume || !is_frozen(), "{}: this folder holds a sweep already; pass --resume to go on with it, or choose another --output", path_.string());
    return;
  }
  check_input(!fs::exists(path_) || fs::is_empty(path_), "{}: this folder holds something that is no sweep; choose another --output", path_.string());
  check_input(!resume, "{}: --resume, but this folder holds no sweep; leave out --resume to start one", path_.string());
}

SweepManifest SweepFolder::manifest() const {
  const fs::path file = path_ / "cells.json";
  SweepManifest manifest;
  try {
    const Json json = Json::parse(read_text_file(file));
    manifest.command = json.at("command").get<std::string>();
    for (const auto& [name, source] : json.at("sources").items()) manifest.sources.emplace_back(name, source.get<std::string>());
    for (const Json& cell : json.at("cells")) {
      FrozenCell frozen{cell.at("name").get<std::string>(), cell.at("hash").get<std::string>(), {}, cell.at("in_grid").get<bool>()};
      for (const auto& [key, label] : cell.at("axes").items()) frozen.values.emplace_back(key, label.get<std::string>());
      manifest.cells.push_back(std::move(frozen));
    }
  } catch (const Json::exception& error) { throw InputError(fmt::format("{}: this is not the manifest of a sweep: {}", file.string(), error.what())); }
  return manifest;
}

BaseConfigs SweepFolder::base_configs(const SweepConfig& config, const SweepTarget& target, const SweepManifest& frozen) const {
  auto loaded = std::make_shared<std::map<std::string, std::unique_ptr<ConfigRef>>>();
  std::map<std::string, fs::path> sources;
  for (const auto& [name, file] : frozen.sources) sources[name] = path_ / file;
  return [loaded, sources, target, &config](const std::string& name) {
    std::unique_ptr<ConfigRef>& base = (*loaded)[name];
    if (!base && sources.contains(name)) base = config_in(sources.at(name), target);
    if (!base) {
      const fs::path file = base_config_file(config, name);
      base = target.config();
      read_config({file, {}, false}, *base);
    }
    return base->clone();
  };
}

void SweepFolder::require_unchanged(const std::vector<SweepCell>& cells, const SweepConfig& config, const SweepTarget& target,
                                    const SweepManifest& frozen) const {
  check_input(frozen.command.empty() || frozen.command == target.command,
              "{}: this folder holds a sweep of `linden {}`, not of `linden {}`; choose another --output", path_.string(), frozen.command, target.command);
  const std::vector<std::string> ignored = where_keys(config);
  for (const SweepCell& cell : cells) {
    if (!frozen.find(cell.name)) continue;
    const std::unique_ptr<ConfigRef> stored = config_in(config_of(cell.name), target);
    for (const ConfigDifference& difference : config_difference(*stored, *cell.config)) {
      if (holds(ignored, difference.key)) continue;
      throw ConfigError(
          fmt::format("{}: {} is {} there and {} now for the cell {}, which is frozen in {}; set it back, or choose another --output for a new sweep",
                      config.file.string(), difference.key, difference.left, difference.right, cell.name, path_.string()));
    }
  }
}

SweepManifest SweepFolder::freeze(const std::vector<SweepCell>& cells, const SweepConfig& config, const SweepTarget& target,
                                  const SweepManifest& frozen) const {
  for (const char* folder : {"sources", "configs", "cells", "logs"}) fs::create_directories(path_ / folder);
  SweepManifest manifest;
  manifest.command = target.command;
  manifest.sources = frozen.sources;
  const BaseConfigs base = base_configs(config, target, frozen);
  for (const SweepCell& cell : cells) {
    const std::string source = cell.base;
    const bool known = std::any_of(manifest.sources.begin(), manifest.sources.end(), [&](const auto& s) { return s.first == source; });
    if (!known) {
      manifest.sources.emplace_back(source, source_name(source, manifest));
      write_file_atomically(path_ / manifest.sources.back().second, config_to_json(*base(source)) + "\n");
    }
    // A cell that has not begun may go elsewhere: another device, other threads.
    if (!frozen.find(cell.name) || !fs::exists(run_of(cell.name))) write_file_atomically(config_of(cell.name), config_to_json(*cell.config) + "\n");
    manifest.cells.push_back({cell.name, cell.hash, cell.values, true});
  }
  for (const FrozenCell& earlier : frozen.cells) {
    if (manifest.find(earlier.name)) continue;
    manifest.cells.push_back(earlier);
    manifest.cells.back().in_grid = false;
  }
  write_file_atomically(path_ / "config.json", config.text);
  write_csv(manifest);
  write_manifest(manifest);
  return manifest;
}

void SweepFolder::write_manifest(const SweepManifest& manifest) const {
  Json json = {{"command", manifest.command}, {"sources", Json::object()}, {"cells", Json::array()}};
  for (const auto& [name, file] : manifest.sources) json["sources"][name] = file;
  for (const FrozenCell& cell : manifest.cells) {
    Json axes = Json::object();
    for (const auto& [key, label] : cell.values) axes[key] = label;
    json["cells"].push_back({{"name", cell.name}, {"hash", cell.hash}, {"in_grid", cell.in_grid}, {"axes", axes}});
  }
  write_file_atomically(path_ / "cells.json", json.dump(2) + "\n");
}

void SweepFolder::write_csv(const SweepManifest& manifest) const {
  std::vector<std::string> keys;
  for (const FrozenCell& cell : manifest.cells)
    for (const auto& value : cell.values)
      if (!holds(keys, value.first)) keys.push_back(value.first);
  std::string csv = "name,hash,in_grid";
  for (const std::string& key : keys) csv += "," + csv_word(key);
  for (const FrozenCell& cell : manifest.cells) {
    csv += fmt::format("\n{},{},{}", csv_word(cell.name), cell.hash, cell.in_grid);
    for (const std::string& key : keys) {
      const auto value = std::find_if(cell.values.begin(), cell.values.end(), [&](const auto& v) { return v.first == key; });
      csv += "," + (value == cell.values.end() ? "" : csv_word(value->second));
    }
  }
  write_file_atomically(path_ / "cells.csv", csv + "\n");
}

CellState SweepFolder::state_of(const std::string& cell, const std::string& hash, const SweepTarget& target, const std::vector<std::string>& ignored) const {
  const fs::path run = run_of(cell);
  if (!fs::exists(run)) return CellState::kNew;
  if (!fs::exists(run / "config.json") || !fs::exists(run / "command.json")) return CellState::kUnusable;
  try {
    const std::unique_ptr<ConfigRef> config = config_in(run / "config.json", target);
    if (config_hash(target.command, config_leaves(*config), ignored) != hash) return CellState::kUnusable;
  } catch (const InputError&) { return CellState::kUnusable; }
  try {
    if (fs::exists(run / "summary.json") && !flatten_json(run / "summary.json").empty()) return CellState::kDone;
  } catch (const InputError&) {
    return CellState::kUnusable;  // damaged: what it measured is lost
  }
  return target.can_resume && has_results(run) ? CellState::kBegun : CellState::kUnusable;
}

double SweepFolder::wall_seconds(const std::string& cell) const {
  for (const JsonScalar& scalar : flatten_json(run_of(cell) / "summary.json"))
    if (scalar.path == "wall_seconds") return scalar.number;
  return 0;
}

void SweepFolder::move_aside(const std::string& cell) const {
  const fs::path attempts = path_ / "attempts";
  fs::create_directories(attempts);
  int number = 1;
  for (const auto& entry : fs::directory_iterator(attempts)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(cell + "#")) number = std::max(number, std::atoi(name.substr(cell.size() + 1).c_str()) + 1);
  }
  const fs::path aside = attempts / fmt::format("{}#{}", cell, number);
  fs::rename(run_of(cell), aside);
  for (const char* name : {"command.json", "summary.json"})  // by these a report would take it for a run
    if (fs::exists(aside / name)) fs::rename(aside / name, aside / fmt::format("attempt.{}", name));
  remove_folder(attempts / fmt::format("{}#{}", cell, number - kKeptAttempts));
}

}  // namespace linden
