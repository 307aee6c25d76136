// Reading a sweep's file. Values stay JSON text: only the command's own config type knows what they mean.
#include "experiment/sweep_config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "core/config.h"
#include "core/error.h"
#include "core/files.h"
#include "experiment/sweep_leaves.h"

namespace linden {
namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

const std::vector<std::string> kKeys = {"command", "config", "axes", "zipped", "conditional", "set", "skip", "processes", "gpus", "on_failure", "retries"};
const std::vector<std::string> kConditionalKeys = {"when", "set", "axes", "zipped"};
constexpr size_t kLongestLabel = 48;

// Text that a folder may be called, and that does not read like two values. Of a long path the end says more.
std::string label_word(const std::string& text) {
  std::string word;
  const bool from_end = text.size() > kLongestLabel && text.find('/') != std::string::npos;
  for (const char c : text.substr(from_end ? text.size() - kLongestLabel : 0, kLongestLabel)) {
    const bool plain =
        (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c != '\0' && std::string("._+-").find(c) != std::string::npos);
    word += plain ? c : '_';
  }
  return word.empty() ? "empty" : word;
}

std::string value_text(const Json& value);

std::string label_text(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  std::vector<std::string> parts;
  if (value.is_array()) {
    for (const Json& item : value) parts.push_back(label_text(item));
    return fmt::format("{}", fmt::join(parts, "-"));
  }
  if (!value.is_object()) return value_text(value);
  if (value.contains("type")) parts.push_back(label_text(value["type"]));
  for (const auto& [key, item] : value.items())
    if (key != "type") parts.push_back(key + "-" + label_text(item));
  return fmt::format("{}", fmt::join(parts, "+"));
}

// The text of a ConfigLeaf that has this value.
std::string value_text(const Json& value) {
  if (value.is_number_float()) return leaf_text(value.get<double>());
  if (value.is_string()) return leaf_text(value.get<std::string>());
  if (!value.is_array()) return value.dump();
  std::vector<std::string> items;
  for (const Json& item : value) items.push_back(value_text(item));
  return leaf_text(items);
}

class SweepReader {
 public:
  explicit SweepReader(const fs::path& file) { config_.file = file; }

  SweepConfig read() {
    config_.text = read_text_file(config_.file);
    const Json json = parse();
    require(json.is_object(), "a sweep is a JSON object, got {}", json.type_name());
    check_keys(json, kKeys, "");
    config_.command = text(json, "command");
    read_base(json);
    read_assignments(json, "set", config_.set);
    read_axes(json, "", config_.axes);
    for (const auto& axis : config_.axes) give(axis);
    if (!given_.contains("config")) text(json, "config");  // says what is missing
    for (const auto& [key, value] : config_.set) give("set." + key, key, Json::parse(value));
    read_conditional(json);
    read_skip(json);
    read_running(json);
    require(!config_.axes.empty(), "nothing varies: wanted an axis in \"axes\", for example \"axes\": {{\"seed\": [1, 2, 3]}}");
    return std::move(config_);
  }

 private:
  template <class... Args>
  void require(bool holds, fmt::format_string<Args...> format, Args&&... args) const {
    if (!holds) throw ConfigError(config_.file.string() + ": " + fmt::format(format, std::forward<Args>(args)...));
  }

  Json parse() const {
    std::vector<std::set<std::string>> keys;
    std::string duplicate;
    const auto callback = [&](int, Json::parse_event_t event, Json& parsed) {
      if (event == Json::parse_event_t::object_start) keys.emplace_back();
      if (event == Json::parse_event_t::object_end) keys.pop_back();
      if (event == Json::parse_event_t::key && !keys.back().insert(parsed.get<std::string>()).second) duplicate = parsed.get<std::string>();
      return true;
    };
    try {
      Json json = Json::parse(config_.text, callback, /*allow_exceptions=*/true, /*ignore_comments=*/true);
      require(duplicate.empty(), "the key \"{}\" stands twice in one object", duplicate);
      return json;
    } catch (const Json::exception& error) {
      const std::string what = error.what();
      const auto detail = what.find("parse error");
      throw ConfigError(fmt::format("{}: not valid JSON: {}", config_.file.string(), detail == std::string::npos ? what : what.substr(detail)));
    }
  }

  void check_keys(const Json& json, const std::vector<std::string>& allowed, const std::string& place) const {
    for (const auto& [key, unused] : json.items()) {
      const std::string nearest = nearest_name(key, allowed);
      require(std::find(allowed.begin(), allowed.end(), key) != allowed.end(), "{}{} is not a key of a sweep{}", place, key,
              nearest.empty() ? fmt::format("; the keys here are: {}", fmt::join(allowed, ", ")) : fmt::format("; did you mean \"{}\"?", nearest));
    }
  }

  std::string text(const Json& json, const std::string& key) const {
    require(json.contains(key), "{} is missing; the smallest sweep is {{\"command\": \"align\", \"config\": \"FILE\", \"axes\": {{\"seed\": [1, 2]}}}}", key);
    require(json[key].is_string(), "{} is {}, wanted text", key, json[key].dump().substr(0, 80));
    return json[key].get<std::string>();
  }

  // "config": a file, or a list of files, which is then the first axis. It may also stand among the axes.
  void read_base(const Json& json) {
    if (!json.contains("config")) return;
    if (json["config"].is_array()) config_.axes.push_back(axis("config", "config", json["config"]));
    else config_.config = text(json, "config");
  }

  void read_assignments(const Json& json, const std::string& place, SweepAssignments& out) const {
    if (!json.contains("set")) return;
    require(json["set"].is_object(), "{} is {}, wanted an object of keys and values, for example {{\"nfe\": 1000}}", place, json["set"].dump().substr(0, 80));
    for (const auto& [key, value] : json["set"].items()) {
      require_key(key, place);
      require(key != "config", "{}.config: the base config is named by the sweep's own key \"config\"", place);
      out.emplace_back(key, value.dump());
    }
  }

  void require_key(const std::string& key, const std::string& place) const {
    require(key != "output", "{}: the sweep gives each cell its folder; leave the key output out", place);
    require(!key.empty() && key.front() != '.' && key.back() != '.' && key.find('=') == std::string::npos, "{}: \"{}\" is not a key of a config", place, key);
  }

  SweepValue value(const std::string& key, const Json& given, const std::string& place) const {
    Json json = given;
    std::string label;
    if (given.is_object() && given.size() == 2 && given.contains("label") && given.contains("value")) {
      require(given["label"].is_string(), "{}: label is {}, wanted text", place, given["label"].dump());
      label = given["label"].get<std::string>();
      json = given["value"];
    }
    require(!json.is_null(), "{}: a value is null, wanted a number, text, true, false, a list or an object", place);
    if (key == "config") require(json.is_string(), "{}: {} is not the name of a config file", place, json.dump().substr(0, 80));
    if (label.empty()) label = key == "config" ? fs::path(json.get<std::string>()).stem().string() : label_text(json);
    return {key == "config" ? json.get<std::string>() : json.dump(), label_word(label)};
  }

  SweepAxis axis(const std::string& place, const std::string& key, const Json& list) const {
    require_key(key, place);
    require(list.is_array(), "{} is {}, wanted a list of values", place, list.dump().substr(0, 80));
    require(!list.empty(), "{} has no values; give some, or take the axis out", place);
    SweepAxis axis{place, {key}, {}};
    for (const Json& item : list) {
      const SweepValue next = value(key, item, place);
      for (const auto& earlier : axis.values) require(earlier[0].json != next.json, "{}: the value {} stands twice", place, next.json.substr(0, 80));
      axis.values.push_back({next});
    }
    return axis;
  }

  void read_axes(const Json& json, const std::string& prefix, std::vector<SweepAxis>& out) const {
    if (json.contains("axes")) {
      require(json["axes"].is_object(), "{}axes is {}, wanted an object of keys and lists, for example {{\"nfe\": [500, 1000]}}", prefix,
              json["axes"].dump().substr(0, 80));
      for (const auto& [key, list] : json["axes"].items()) out.push_back(axis(prefix + "axes." + key, key, list));
    }
    if (!json.contains("zipped")) return;
    require(json["zipped"].is_array(), "{}zipped is {}, wanted a list of objects, for example [{{\"nfe\": [500, 1000], \"num_samples\": [5, 10]}}]", prefix,
            json["zipped"].dump().substr(0, 80));
    for (size_t i = 0; i < json["zipped"].size(); ++i) out.push_back(zipped(json["zipped"][i], fmt::format("{}zipped[{}]", prefix, i)));
  }

  SweepAxis zipped(const Json& group, const std::string& place) const {
    require(group.is_object() && !group.empty(), "{} is {}, wanted an object of keys and lists of equal length", place, group.dump().substr(0, 80));
    SweepAxis out{place, {}, {}};
    for (const auto& [key, list] : group.items()) {
      require_key(key, place);
      require(list.is_array() && !list.empty(), "{}.{} is {}, wanted a list of values", place, key, list.dump().substr(0, 80));
      if (out.keys.empty()) out.values.resize(list.size());
      require(list.size() == out.values.size(), "{}: {} has {} values and {} has {}; lists that are zipped move together and are of equal length", place,
              out.keys.front(), out.values.size(), key, list.size());
      out.keys.push_back(key);
      for (size_t i = 0; i < list.size(); ++i) out.values[i].push_back(value(key, list[i], place + "." + key));
    }
    return out;
  }

  SweepCondition condition(const Json& json, const std::string& place) const {
    require(json.is_object() && !json.empty(), "{} is {}, wanted an object of keys and values, for example {{\"method.type\": \"dts\"}}", place,
            json.dump().substr(0, 80));
    SweepCondition out{place, {}};
    for (const auto& [key, wanted] : json.items()) {
      std::vector<std::string> texts;
      const Json list = wanted.is_array() ? wanted : Json::array({wanted});
      require(!list.empty(), "{}.{} has no values", place, key);
      for (const Json& item : list) {
        require(!item.is_object() && !item.is_null(), "{}.{} is {}; compare a key inside it, for example {}.type", place, key, item.dump().substr(0, 80), key);
        texts.push_back(value_text(item));
      }
      out.values.emplace_back(key, texts);
    }
    return out;
  }

  void read_conditional(const Json& json) {
    if (!json.contains("conditional")) return;
    require(json["conditional"].is_array(), "conditional is {}, wanted a list of objects with \"when\" and \"axes\"", json["conditional"].dump().substr(0, 80));
    for (size_t i = 0; i < json["conditional"].size(); ++i) {
      const Json& part = json["conditional"][i];
      const std::string place = fmt::format("conditional[{}].", i);
      require(part.is_object() && part.contains("when"), "conditional[{}] is {}, wanted an object with \"when\" and \"axes\"", i, part.dump().substr(0, 80));
      check_keys(part, kConditionalKeys, place);
      SweepConditional out{condition(part["when"], place + "when"), {}, {}};
      read_assignments(part, place + "set", out.set);
      read_axes(part, place, out.axes);
      require(!out.set.empty() || !out.axes.empty(), "conditional[{}] gives nothing; wanted \"axes\", \"zipped\" or \"set\" in it", i);
      const auto unconditional = given_;
      for (const auto& axis : out.axes) give(axis);
      for (const auto& [key, value] : out.set) give(place + "set." + key, key, Json::parse(value));
      given_ = unconditional;  // another condition may give the same key to other cells
      config_.conditional.push_back(std::move(out));
    }
  }

  void read_skip(const Json& json) {
    if (!json.contains("skip")) return;
    require(json["skip"].is_array(), "skip is {}, wanted a list of conditions, for example [{{\"method.type\": \"dts\", \"nfe\": 500}}]",
            json["skip"].dump().substr(0, 80));
    for (size_t i = 0; i < json["skip"].size(); ++i) config_.skip.push_back(condition(json["skip"][i], fmt::format("skip[{}]", i)));
  }

  int64_t integer(const Json& json, const std::string& key, int64_t low, int64_t high, int64_t fallback) const {
    if (!json.contains(key)) return fallback;
    const bool fits =
        json[key].is_number_integer() && json[key].get<double>() >= static_cast<double>(low) && json[key].get<double>() <= static_cast<double>(high);
    require(fits, "{} is {} (allowed: {}..{})", key, json[key].dump().substr(0, 80), low, high);
    return json[key].get<int64_t>();
  }

  void read_running(const Json& json) {
    config_.processes = integer(json, "processes", 1, 1024, 1);
    config_.gpus = integer(json, "gpus", 0, 1024, 0);
    config_.retries = integer(json, "retries", 0, 100, 0);
    if (!json.contains("on_failure")) return;
    const std::string choice = text(json, "on_failure");
    require(choice == "continue" || choice == "stop", "on_failure is \"{}\", allowed: continue, stop", choice);
    config_.stop_on_failure = choice == "stop";
  }

  // Every key is given in one place only; an object gives the keys inside it too.
  void give(const SweepAxis& axis) {
    for (size_t k = 0; k < axis.keys.size(); ++k) {
      std::set<std::string> keys = {axis.keys[k]};
      for (size_t v = 0; axis.keys[k] != "config" && v < axis.values.size(); ++v) collect_keys(Json::parse(axis.values[v][k].json), axis.keys[k], keys);
      give_keys(axis.place, keys, axis.keys[k]);
    }
  }
  void give(const std::string& place, const std::string& key, const Json& value) {
    std::set<std::string> keys = {key};
    collect_keys(value, key, keys);
    give_keys(place, keys, key);
  }
  static void collect_keys(const Json& value, const std::string& path, std::set<std::string>& keys) {
    if (!value.is_object()) {
      keys.insert(path);
      return;
    }
    for (const auto& [key, item] : value.items()) collect_keys(item, path + "." + key, keys);
  }
  void give_keys(const std::string& place, const std::set<std::string>& keys, const std::string& own) {
    for (const std::string& key : keys) {
      const auto earlier = given_.find(key);
      require(earlier == given_.end(), "{} is given twice: by {} and by {}", key, earlier == given_.end() ? "" : earlier->second, place);
    }
    require(own != "config" || config_.config.empty(), "config is given twice: as \"config\" and by {}", place);
    for (const std::string& key : keys) given_[key] = place;
  }

  SweepConfig config_;
  std::map<std::string, std::string> given_;  // key -> place
};

}  // namespace

SweepConfig read_sweep_config(const fs::path& file) { return SweepReader(file).read(); }

void add_assignments(SweepConfig& config, const std::vector<std::string>& assignments) {
  const auto is_axis = [](const std::vector<SweepAxis>& axes, const std::string& key) {
    return std::any_of(axes.begin(), axes.end(), [&](const SweepAxis& axis) { return std::find(axis.keys.begin(), axis.keys.end(), key) != axis.keys.end(); });
  };
  for (const std::string& assignment : assignments) {
    const auto equals = assignment.find('=');
    if (equals == std::string::npos || equals == 0) throw ConfigError(fmt::format("--set {}: wanted KEY=VALUE, for example --set num_samples=100", assignment));
    const std::string key = assignment.substr(0, equals), text = assignment.substr(equals + 1);
    // "method.type" is decided by an axis over whole methods, too.
    const std::string decided = key.ends_with(".type") ? key.substr(0, key.size() - 5) : key;
    bool given = is_axis(config.axes, key) || is_axis(config.axes, decided);
    for (const SweepConditional& part : config.conditional) given = given || is_axis(part.axes, key) || is_axis(part.axes, decided);
    if (given) throw ConfigError(fmt::format("--set {}: {} is an axis of {}; give its values there", assignment, key, config.file.string()));
    const Json value = Json::parse(text, nullptr, /*allow_exceptions=*/false, /*ignore_comments=*/true);
    std::erase_if(config.set, [&](const auto& earlier) { return earlier.first == key; });
    config.set.emplace_back(key, value.is_discarded() ? Json(text).dump() : text);
  }
}

}  // namespace linden
