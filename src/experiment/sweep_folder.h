// The folder of a sweep: what is frozen, and what is done.
//
//   config.json      the sweep's file as it was read      sources/     each base config, resolved, as it was then
//   configs/NAME     the frozen config of each cell       cells.json, cells.csv   name, hash, axis values
//   cells/NAME/      the cell's run folder                logs/NAME.log           its output
//   attempts/        folders of attempts that came to nothing
//   journal.jsonl    starts and ends                      sweep.lock   held by the sweep that runs, and by its cells
//   status.json, sweep.md, summary.json                   where it stands (sweep_status.h)
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "experiment/sweep_cells.h"
#include "experiment/sweep_journal.h"

namespace linden {

struct FrozenCell {
  std::string name, hash;
  std::vector<std::pair<std::string, std::string>> values;  // axis key -> label
  bool in_grid = true;                                      // false: no longer in the sweep's file, kept
};

// cells.json.
struct SweepManifest {
  std::string command;
  std::vector<std::pair<std::string, std::string>> sources;  // as the sweep names it -> file in sources/
  std::vector<FrozenCell> cells;
  const FrozenCell* find(const std::string& name) const;
};

enum class CellState {
  kNew,       // nothing there
  kBegun,     // a folder with something to resume from
  kUnusable,  // a folder that cannot be resumed: it is moved away and the cell begun anew
  kDone,      // summary.json, of this very config
};

class SweepFolder {
 public:
  explicit SweepFolder(std::filesystem::path path) : path_(std::move(path)), journal_(path_ / "journal.jsonl") {}

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path config_of(const std::string& cell) const { return path_ / "configs" / (cell + ".json"); }
  std::filesystem::path run_of(const std::string& cell) const { return path_ / "cells" / cell; }
  std::filesystem::path log_of(const std::string& cell) const { return path_ / "logs" / (cell + ".log"); }
  const Journal& journal() const { return journal_; }

  bool exists() const;     // was a sweep begun here?
  bool is_frozen() const;  // is there a manifest?
  // InputError: the folder holds something else; it holds a sweep and `resume` is not asked for; it holds none and it is.
  void require_usable(bool resume) const;
  SweepManifest manifest() const;  // InputError: unreadable
  // The base configs that are frozen here, and those that are not yet from their files.
  BaseConfigs base_configs(const SweepConfig& config, const SweepTarget& target, const SweepManifest& frozen) const;
  // ConfigError: a cell that is frozen here has another config now (names the key).
  void require_unchanged(const std::vector<SweepCell>& cells, const SweepConfig& config, const SweepTarget& target, const SweepManifest& frozen) const;
  // Writes everything that the cells need; the manifest last. `frozen`: what was there.
  SweepManifest freeze(const std::vector<SweepCell>& cells, const SweepConfig& config, const SweepTarget& target, const SweepManifest& frozen) const;

  // By what is on the disk alone. `ignored`: where_keys().
  CellState state_of(const std::string& cell, const std::string& hash, const SweepTarget& target, const std::vector<std::string>& ignored) const;
  double wall_seconds(const std::string& cell) const;  // of a cell that is done
  // Moves a cell's folder to attempts/ under its name and a number; the last few are kept. Reports do not find it there.
  void move_aside(const std::string& cell) const;

 private:
  void write_manifest(const SweepManifest& manifest) const;
  void write_csv(const SweepManifest& manifest) const;
  std::filesystem::path path_;
  Journal journal_;
};

// The file that a sweep means by the name of a base config: beside the sweep's file, else from the working directory.
std::filesystem::path base_config_file(const SweepConfig& config, const std::string& name);

// Two sweeps never work in one folder. The cells inherit the lock, so it is free only when the last one has ended.
class SweepLock {
 public:
  // Makes the folder if there is none. InputError: another sweep holds the lock, or the folder cannot be made.
  explicit SweepLock(const std::filesystem::path& folder);
  ~SweepLock();
  SweepLock(const SweepLock&) = delete;

 private:
  int descriptor_ = -1;
};

}  // namespace linden
