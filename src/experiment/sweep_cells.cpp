#include "experiment/sweep_cells.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <limits>
#include <map>
#include <set>

#include "core/error.h"

namespace linden {
namespace {

constexpr size_t kMostCells = 100000;
constexpr size_t kLongestName = 200;  // a folder's name may have 255 bytes

// A cell while axes are added to it.
struct Draft {
  struct Choice {
    std::string key;
    SweepValue value;
  };
  std::vector<Choice> choices;
  SweepAssignments set;
};

// The order in which keys are assigned: parents before the keys inside them, so that a new method.type does not take
// method.batch_size away again.
int64_t depth(const std::string& key) {
  const std::string type = ".type";
  return std::count(key.begin(), key.end(), '.') - (key.ends_with(type) ? 1 : 0);
}

std::vector<Draft> with_axes(const std::vector<Draft>& drafts, const std::vector<SweepAxis>& axes) {
  std::vector<Draft> grown = drafts;
  for (const SweepAxis& axis : axes) {
    std::vector<Draft> next;
    for (const Draft& draft : grown) {
      for (const std::vector<SweepValue>& value : axis.values) {
        next.push_back(draft);
        for (size_t k = 0; k < axis.keys.size(); ++k) next.back().choices.push_back({axis.keys[k], value[k]});
      }
    }
    grown = std::move(next);
    if (grown.size() > kMostCells) break;
  }
  return grown;
}

// "method.type" -> "method", "method.widening.exponent" -> "exponent"; the whole key where two would be alike.
std::map<std::string, std::string> short_keys(const SweepConfig& config) {
  std::set<std::string> keys;
  const auto add = [&](const std::vector<SweepAxis>& axes) {
    for (const SweepAxis& axis : axes) keys.insert(axis.keys.begin(), axis.keys.end());
  };
  add(config.axes);
  for (const SweepConditional& part : config.conditional) add(part.axes);
  const auto last_word = [](std::string key) {
    if (key.ends_with(".type")) key.resize(key.size() - 5);
    return key.substr(key.rfind('.') + 1);
  };
  std::map<std::string, int> uses;
  for (const std::string& key : keys) ++uses[last_word(key)];
  std::map<std::string, std::string> names;
  for (const std::string& key : keys) names[key] = uses[last_word(key)] == 1 ? last_word(key) : key;
  return names;
}

// `assignment`'s error without the words "--set KEY=VALUE: ".
std::string without_origin(std::string message, const std::vector<std::string>& assignments) {
  for (const std::string& assignment : assignments) {
    const std::string origin = "--set " + assignment + ": ";
    if (message.starts_with(origin)) return message.substr(origin.size());
  }
  return message;
}

class Expansion {
 public:
  Expansion(const SweepConfig& config, const SweepTarget& target, const BaseConfigs& base)
      : config_(config),
        target_(target),
        base_(base),
        short_keys_(short_keys(config)),
        ignored_(where_keys(config)) {}

  SweepCells run() {
    std::vector<Draft> drafts = with_axes({{{}, config_.set}}, config_.axes);
    require_size(drafts);
    for (const SweepConditional& part : config_.conditional) drafts = with_condition(drafts, part);
    std::vector<SweepCell> cells;
    for (const Draft& draft : drafts) cells.push_back(resolve(draft));
    for (const SweepCondition& condition : config_.skip) skip(cells, condition);
    require(!cells.empty(), "skip leaves no cell");
    require_different(cells);
    return {std::move(cells), std::move(warnings_)};
  }

 private:
  template <class... Args>
  void require(bool holds, fmt::format_string<Args...> format, Args&&... args) const {
    if (!holds) throw ConfigError(config_.file.string() + ": " + fmt::format(format, std::forward<Args>(args)...));
  }
  void require_size(const std::vector<Draft>& drafts) const {
    require(drafts.size() <= kMostCells, "more than {} cells; take values out, or make several sweeps of it", kMostCells);
  }

  std::string name_of(const Draft& draft) const {
    std::vector<std::string> words;
    for (const auto& choice : draft.choices) words.push_back(short_keys_.at(choice.key) + "=" + choice.value.label);
    return fmt::format("{}", fmt::join(words, ",")).substr(0, kLongestName);
  }

  SweepCell resolve(const Draft& draft) const {
    SweepCell cell;
    cell.name = name_of(draft);
    cell.base = config_.config;
    SweepAssignments ordered = draft.set;
    for (const auto& [key, value] : draft.choices) {
      cell.values.emplace_back(key, value.label);
      if (key == "config") cell.base = value.json;
      else ordered.emplace_back(key, value.json);
    }
    std::stable_sort(ordered.begin(), ordered.end(), [](const auto& a, const auto& b) { return depth(a.first) < depth(b.first); });
    std::vector<std::string> assignments;
    for (const auto& [key, json] : ordered) assignments.push_back(key + "=" + json);
    cell.config = base_(cell.base);
    try {
      read_config({"", assignments, false}, *cell.config);
    } catch (const ConfigError& error) {
      throw ConfigError(fmt::format("{}: cell {}: {}", config_.file.string(), cell.name, without_origin(error.what(), assignments)));
    }
    cell.leaves = config_leaves(*cell.config);
    cell.hash = config_hash(target_.command, cell.leaves, ignored_);
    cell.leaves.push_back({"config", leaf_text(cell.base)});  // for conditions
    return cell;
  }

  std::vector<Draft> with_condition(const std::vector<Draft>& drafts, const SweepConditional& part) {
    std::vector<SweepCell> cells;
    for (const Draft& draft : drafts) cells.push_back(resolve(draft));
    require_known(cells, part.when);
    std::vector<Draft> grown;
    bool any = false;
    for (size_t i = 0; i < drafts.size(); ++i) {
      if (!matches(cells[i], part.when)) {
        grown.push_back(drafts[i]);
        continue;
      }
      any = true;
      Draft draft = drafts[i];
      for (const auto& assignment : part.set) add_assignment(draft, assignment, cells[i].name, part.when.place);
      for (const SweepAxis& axis : part.axes) require_new(draft, axis, cells[i].name);
      const std::vector<Draft> more = with_axes({draft}, part.axes);
      grown.insert(grown.end(), more.begin(), more.end());
      require_size(grown);
    }
    if (!any) warnings_.push_back(fmt::format("{}: {} matches no cell", config_.file.string(), part.when.place));
    return grown;
  }

  void add_assignment(Draft& draft, const std::pair<std::string, std::string>& assignment, const std::string& name, const std::string& place) const {
    for (const auto& earlier : draft.set) require(earlier.first != assignment.first, "{}: cell {} is given {} twice", place, name, assignment.first);
    for (const auto& choice : draft.choices) require(choice.key != assignment.first, "{}: cell {} is given {} twice", place, name, choice.key);
    draft.set.push_back(assignment);
  }
  void require_new(const Draft& draft, const SweepAxis& axis, const std::string& name) const {
    for (const std::string& key : axis.keys) {
      for (const auto& choice : draft.choices) require(choice.key != key, "{}: cell {} is given {} twice", axis.place, name, key);
      for (const auto& assignment : draft.set) require(assignment.first != key, "{}: cell {} is given {} twice", axis.place, name, key);
    }
  }

  void skip(std::vector<SweepCell>& cells, const SweepCondition& condition) {
    require_known(cells, condition);
    const size_t before = cells.size();
    std::erase_if(cells, [&](const SweepCell& cell) { return matches(cell, condition); });
    if (cells.size() == before) warnings_.push_back(fmt::format("{}: {} matches no cell", config_.file.string(), condition.place));
  }

  static bool matches(const SweepCell& cell, const SweepCondition& condition) {
    return std::all_of(condition.values.begin(), condition.values.end(), [&](const auto& wanted) {
      const ConfigLeaf* leaf = find_leaf(cell.leaves, wanted.first);
      if (!leaf) return false;
      const auto is_it = [&](const std::string& text) { return text == leaf->text; };
      return std::any_of(wanted.second.begin(), wanted.second.end(), is_it);
    });
  }

  // Some cell has each key of the condition.
  void require_known(const std::vector<SweepCell>& cells, const SweepCondition& condition) const {
    for (const auto& wanted : condition.values) {
      const std::string& key = wanted.first;
      std::set<std::string> known;
      for (const SweepCell& cell : cells)
        for (const ConfigLeaf& leaf : cell.leaves) known.insert(leaf.key);
      if (cells.empty() || known.contains(key)) continue;
      const auto inside = known.lower_bound(key + ".");
      require(inside == known.end() || !inside->starts_with(key + "."), "{}: {} is an object; compare a key inside it, for example {}", condition.place, key,
              known.contains(key + ".type") ? key + ".type"
              : inside == known.end()       ? ""
                                            : *inside);
      const std::string nearest = nearest_name(key, {known.begin(), known.end()});
      require(false, "{}: no cell has the key {}{}", condition.place, key, nearest.empty() ? "" : fmt::format("; did you mean \"{}\"?", nearest));
    }
  }

  void require_different(const std::vector<SweepCell>& cells) const {
    std::map<std::string, const SweepCell*> names, hashes;
    for (const SweepCell& cell : cells) {
      const auto [same_name, new_name] = names.emplace(cell.name, &cell);
      require(new_name, "two cells would both be called {}: {}; give the values labels of their own, as {{\"label\": \"a\", \"value\": ...}}", cell.name,
              difference_of(*same_name->second, cell));
      const auto [same_hash, new_hash] = hashes.emplace(cell.hash, &cell);
      require(new_hash, "cells {} and {} have one and the same config: an axis between them changes nothing", same_hash->second->name, cell.name);
    }
  }
  // "reward.folder is \"a/b\" in one and \"a:b\" in the other"
  static std::string difference_of(const SweepCell& a, const SweepCell& b) {
    for (const ConfigLeaf& leaf : a.leaves) {
      const ConfigLeaf* other = find_leaf(b.leaves, leaf.key);
      if (!other) return fmt::format("{} is {} in one and absent in the other", leaf.key, leaf.text);
      if (other->text != leaf.text) return fmt::format("{} is {} in one and {} in the other", leaf.key, leaf.text, other->text);
    }
    return "their configs are equal too";
  }

  const SweepConfig& config_;
  const SweepTarget& target_;
  const BaseConfigs& base_;
  std::map<std::string, std::string> short_keys_;
  std::vector<std::string> ignored_;
  std::vector<std::string> warnings_;
};

}  // namespace

double SweepCell::nfe() const {
  const ConfigLeaf* leaf = find_leaf(leaves, "nfe");
  return leaf ? std::stod(leaf->text) : std::numeric_limits<double>::quiet_NaN();
}

SweepCells expand_cells(const SweepConfig& config, const SweepTarget& target, const BaseConfigs& base) { return Expansion(config, target, base).run(); }

std::vector<std::string> where_keys(const SweepConfig& config) {
  std::vector<std::string> keys = {"output", "device", "threads"};
  const auto leave_out = [&](const std::vector<SweepAxis>& axes) {
    for (const SweepAxis& axis : axes)
      std::erase_if(keys, [&](const std::string& key) { return std::find(axis.keys.begin(), axis.keys.end(), key) != axis.keys.end(); });
  };
  leave_out(config.axes);
  for (const SweepConditional& part : config.conditional) leave_out(part.axes);
  return keys;
}

}  // namespace linden
