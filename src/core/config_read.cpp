// Reading a config: merge (defaults <- base <- file <- --set) as JSON, then one visit that fills the struct.
#include <algorithm>
#include <cctype>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "core/config.h"
#include "core/error.h"
#include "core/files.h"

namespace linden {
namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

std::string join_path(const std::string& prefix, const std::string& key) { return prefix.empty() ? key : prefix + "." + key; }

// A merged document and, for each JSON path, the file (or "--set") that gave it.
struct Document {
  Json json = Json::object();
  std::map<std::string, std::string> origin;
  std::vector<std::string> notes;
};

constexpr int kMaxDepth = 64;     // nobody nests deeper, and printing and merging are recursive
constexpr size_t kMaxShown = 80;  // bytes of a name from outside in a message

// A name from outside, fit for a message: long ones are cut, between characters.
std::string shortened(const std::string& name) {
  if (name.size() <= kMaxShown) return name;
  size_t size = kMaxShown;
  while (size > 0 && (static_cast<unsigned char>(name[size]) & 0xc0) == 0x80) --size;
  return name.substr(0, size) + "...";
}

Json parse_json(const std::string& text, const std::string& origin) {
  std::vector<std::set<std::string>> keys;  // duplicates are an error, not a silent last-wins
  std::string duplicate;
  const auto callback = [&](int depth, Json::parse_event_t event, Json& parsed) {
    if (depth > kMaxDepth) throw ConfigError(fmt::format("{}: objects and lists are nested more than {} deep", origin, kMaxDepth));
    if (event == Json::parse_event_t::object_start) keys.emplace_back();
    if (event == Json::parse_event_t::object_end) keys.pop_back();
    if (event == Json::parse_event_t::key && !keys.back().insert(parsed.get<std::string>()).second) duplicate = parsed.get<std::string>();
    return true;
  };
  try {
    Json json = Json::parse(text, callback, /*allow_exceptions=*/true, /*ignore_comments=*/true);
    if (!duplicate.empty()) throw ConfigError(fmt::format("{}: the key \"{}\" stands twice in one object", origin, shortened(duplicate)));
    return json;
  } catch (const Json::exception& error) {
    const std::string what = error.what();
    const auto detail = what.find("parse error");
    throw ConfigError(fmt::format("{}: not valid JSON: {}", origin, detail == std::string::npos ? what : what.substr(detail)));
  }
}

// Deep merge of `from` into `into`. An object whose "type" differs replaces the old one whole: the old
// type's other keys mean nothing to the new one.
void merge(Document& document, Json& into, const Json& from, const std::string& path, const std::string& origin) {
  if (!into.is_object() || !from.is_object()) {
    into = from;
    document.origin[path] = origin;
    return;
  }
  if (into.contains("type") && from.contains("type") && into["type"] != from["type"] && into.size() > 1) {
    document.notes.push_back(fmt::format("{}: {}.type changes from {} to {}; the other keys of {} start from their defaults", origin, path, into["type"].dump(),
                                         from["type"].dump(), path));
    into = Json::object();
  }
  for (const auto& [key, value] : from.items()) merge(document, into[key], value, join_path(path, key), origin);
}

void load_file(Document& document, const fs::path& file, std::set<fs::path> chain) {
  if (!fs::exists(file)) throw ConfigError(fmt::format("{}: no such config file", file.string()));
  if (!chain.insert(fs::weakly_canonical(file)).second) throw ConfigError(fmt::format("{}: its \"base\" files lead back to itself", file.string()));
  Json json = parse_json(read_text_file(file), file.string());
  if (!json.is_object()) throw ConfigError(fmt::format("{}: a config is a JSON object, got {}", file.string(), json.type_name()));
  if (json.contains("base")) {
    if (!json["base"].is_string()) throw ConfigError(fmt::format("{}: base is {}, wanted a file name as text", file.string(), json["base"].dump()));
    load_file(document, file.parent_path() / json["base"].get<std::string>(), chain);
    json.erase("base");
  }
  merge(document, document.json, json, "", file.string());
}

void assign(Document& document, const std::string& assignment) {
  const auto equals = assignment.find('=');
  if (equals == std::string::npos || equals == 0)
    throw ConfigError(fmt::format("--set {}: wanted KEY=VALUE, for example --set method.widening.constant=1.5", assignment));
  const std::string key = assignment.substr(0, equals), text = assignment.substr(equals + 1);
  const auto too_deep = [&] { return ConfigError(fmt::format("--set {}: nested more than {} deep", shortened(assignment), kMaxDepth)); };
  const auto callback = [&](int depth, Json::parse_event_t, Json&) {
    if (depth > kMaxDepth) throw too_deep();
    return true;
  };
  Json value = Json::parse(text, callback, /*allow_exceptions=*/false, /*ignore_comments=*/true);
  if (value.is_discarded()) value = text;  // a bare word
  size_t start = 0;
  std::vector<std::string> parts;
  for (size_t dot = key.find('.'); dot != std::string::npos; start = dot + 1, dot = key.find('.', start)) parts.push_back(key.substr(start, dot - start));
  parts.push_back(key.substr(start));
  if (parts.size() > static_cast<size_t>(kMaxDepth)) throw too_deep();
  Json wrapped = value;
  for (auto part = parts.rbegin(); part != parts.rend(); ++part) wrapped = Json{{*part, wrapped}};
  merge(document, document.json, wrapped, "", "--set " + assignment);
}

// Fills a struct from the merged document.
class Reader final : public FieldVisitor {
 public:
  Reader(const Document& document, std::string origin, bool allow_unknown) : document_(document), origin_(std::move(origin)), allow_unknown_(allow_unknown) {
    levels_.push_back({&document.json, "", {}});
  }

  void value(const Field& field, bool& member) override {
    if (const Json* json = find(field)) {
      require(json->is_boolean(), field, *json, "true or false");
      member = json->get<bool>();
    }
  }
  void value(const Field& field, int64_t& member) override {
    if (const Json* json = find(field)) {
      require(is_integer(*json), field, *json, "an integer");
      member = as_integer(*json);
      check_range(field, static_cast<double>(member), *json);
    }
  }
  void value(const Field& field, double& member) override {
    if (const Json* json = find(field)) {
      require(json->is_number(), field, *json, "a number");
      member = json->get<double>();
      check_range(field, member, *json);
    }
  }
  void value(const Field& field, std::string& member) override {
    if (const Json* json = find(field)) {
      if (json->is_null() && allow_unknown_) return;
      require(json->is_string(), field, *json, "text");
      member = json->get<std::string>();
      check_choice(field, member);
    }
  }
  void value(const Field& field, std::vector<int64_t>& member) override {
    read_list(field, member, "a list of integers", is_integer, as_integer);
    for (int64_t item : member) check_range(field, static_cast<double>(item), Json(item));
  }
  void value(const Field& field, std::vector<double>& member) override {
    read_list(
        field, member, "a list of numbers", [](const Json& j) { return j.is_number(); }, [](const Json& j) { return j.get<double>(); });
    for (double item : member) check_range(field, item, Json(item));
  }
  void value(const Field& field, std::vector<std::string>& member) override {
    read_list(
        field, member, "a list of texts", [](const Json& j) { return j.is_string(); }, [](const Json& j) { return j.get<std::string>(); });
    for (const std::string& item : member) check_choice(field, item);
  }
  void begin_object(const Field& field) override {
    const Json* json = find(field);
    if (json) require(json->is_object(), field, *json, "an object");
    levels_.push_back({json ? json : &kEmpty, path_of(field), {}});
  }
  void end_object() override {
    finish_level();
    levels_.pop_back();
  }
  void variant(const Field& field, VariantRef& member) override {
    const Json* json = find(field);
    if (json) {
      require(json->is_object(), field, *json, "an object with a \"type\"");
      const std::string path = path_of(field);
      if (json->contains("type")) {
        const Json& type = (*json)["type"];
        const std::vector<std::string> types = member.types();
        if (!type.is_string() || std::find(types.begin(), types.end(), type.get<std::string>()) == types.end())
          fail_choice(path + ".type", type.is_string() ? type.get<std::string>() : type.dump(), types);
        if (type.get<std::string>() != member.current()) member.emplace(type.get<std::string>());
      }
    }
    levels_.push_back({json ? json : &kEmpty, path_of(field), {"type"}});
    member.visit_current(*this);
    end_object();
  }

  // Call when the visit is over: the top level's unknown keys.
  void finish_level() {
    if (allow_unknown_) return;
    const Level& level = levels_.back();
    for (const auto& [key, unused] : level.json->items()) {
      if (std::find(level.known.begin(), level.known.end(), key) != level.known.end()) continue;
      fail(join_path(level.path, shortened(key)), fmt::format("is not a key of this config{}", suggestion(key, level.known)));
    }
  }

 private:
  struct Level {
    const Json* json;
    std::string path;
    std::vector<std::string> known;
  };

  static bool is_integer(const Json& json) {  // 1e4 is an integer too
    if (json.is_number_unsigned()) return json.get<uint64_t>() <= static_cast<uint64_t>(INT64_MAX);
    if (json.is_number_integer()) return true;
    return json.is_number_float() && std::floor(json.get<double>()) == json.get<double>() && std::abs(json.get<double>()) < 9e15;
  }
  static int64_t as_integer(const Json& json) { return json.is_number_float() ? static_cast<int64_t>(json.get<double>()) : json.get<int64_t>(); }
  static std::string suggestion(const std::string& name, const std::vector<std::string>& candidates) {
    const std::string nearest = nearest_name(name, candidates);
    return nearest.empty() ? fmt::format("; the keys here are: {}", fmt::join(candidates, ", ")) : fmt::format("; did you mean \"{}\"?", nearest);
  }

  std::string path_of(const Field& field) const { return join_path(levels_.back().path, field.name); }
  const Json* find(const Field& field) {
    Level& level = levels_.back();
    level.known.push_back(field.name);
    const auto found = level.json->find(field.name);
    return found == level.json->end() ? nullptr : &*found;
  }
  [[noreturn]] void fail(const std::string& path, const std::string& message) const {
    throw ConfigError(fmt::format("{}: {} {}", origin_of(path), path, message));
  }
  std::string origin_of(std::string path) const {  // the nearest enclosing path whose origin is known
    while (true) {
      const auto found = document_.origin.find(path);
      if (found != document_.origin.end()) return found->second;
      const auto below = document_.origin.lower_bound(path + ".");  // an object: any key inside it
      if (below != document_.origin.end() && below->first.rfind(path + ".", 0) == 0) return below->second;
      const auto dot = path.rfind('.');
      if (dot == std::string::npos) return origin_;
      path = path.substr(0, dot);
    }
  }
  void require(bool holds, const Field& field, const Json& got, const std::string& wanted) const {
    if (!holds) fail(path_of(field), fmt::format("is {}, wanted {}", shortened(got.dump()), wanted));
  }
  void check_range(const Field& field, double number, const Json& got) const {
    const bool low = field.exclusive_minimum ? number > field.minimum : number >= field.minimum;
    if (low && number <= field.maximum) return;
    const std::string minimum = std::isinf(field.minimum) ? "" : fmt::format("{}", field.minimum);
    const std::string maximum = std::isinf(field.maximum) ? "" : fmt::format("{}", field.maximum);
    std::string range = minimum.empty()   ? "at most " + maximum
                        : maximum.empty() ? (field.exclusive_minimum ? "above " : "at least ") + minimum
                                          : (field.exclusive_minimum ? "above " + minimum + ", up to " : minimum + "..") + maximum;
    fail(path_of(field), fmt::format("is {} (allowed: {})", got.dump(), range));
  }
  void check_choice(const Field& field, const std::string& text) const {
    if (field.choices.empty() || std::find(field.choices.begin(), field.choices.end(), text) != field.choices.end()) return;
    fail_choice(path_of(field), text, field.choices);
  }
  [[noreturn]] void fail_choice(const std::string& path, const std::string& got, const std::vector<std::string>& allowed) const {
    const std::string nearest = nearest_name(got, allowed);
    fail(path, fmt::format("is \"{}\", allowed: {}{}", shortened(got), fmt::join(allowed, ", "),
                           nearest.empty() ? "" : fmt::format("; did you mean \"{}\"?", nearest)));
  }
  template <class T, class Is, class As>
  void read_list(const Field& field, std::vector<T>& member, const char* wanted, Is is, As as) {
    const Json* json = find(field);
    if (!json) return;
    require(json->is_array() && std::all_of(json->begin(), json->end(), is), field, *json, wanted);
    member.clear();
    for (const Json& item : *json) member.push_back(as(item));
  }

  static inline const Json kEmpty = Json::object();
  const Document& document_;
  std::string origin_;
  bool allow_unknown_;
  std::vector<Level> levels_;
};

}  // namespace

std::vector<std::string> read_config(const ConfigSource& source, ConfigRef& config) {
  Document document;
  if (!source.file.empty()) load_file(document, source.file, {});
  for (const std::string& assignment : source.assignments) assign(document, assignment);
  Reader reader(document, source.file.empty() ? "--set" : source.file.string(), source.allow_unknown);
  config.accept(reader);
  reader.finish_level();
  return document.notes;
}

void config_from_json(const std::string& text, const std::string& origin, ConfigRef& config, bool allow_unknown) {
  Document document;
  document.json = parse_json(text, origin);
  if (!document.json.is_object()) throw ConfigError(fmt::format("{}: wanted a JSON object, got {}", origin, document.json.type_name()));
  Reader reader(document, origin, allow_unknown);
  config.accept(reader);
  reader.finish_level();
}

namespace {

std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

// Insertions, deletions, replacements and swaps of neighbours (optimal string alignment).
size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<std::vector<size_t>> d(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) d[i][0] = i;
  for (size_t j = 0; j <= b.size(); ++j) d[0][j] = j;
  for (size_t i = 1; i <= a.size(); ++i)
    for (size_t j = 1; j <= b.size(); ++j) {
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  return d[a.size()][b.size()];
}

}  // namespace

std::string nearest_name(const std::string& name, const std::vector<std::string>& candidates) {
  std::string best;
  size_t best_distance = name.size() / 2 + 1;
  for (const std::string& candidate : candidates) {
    const size_t difference = name.size() > candidate.size() ? name.size() - candidate.size() : candidate.size() - name.size();
    if (difference >= best_distance) continue;  // no spelling is nearer than that; a name from outside may be very long
    const size_t distance = edit_distance(lower(name), lower(candidate));
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

namespace {

void flatten(const Json& json, const std::string& path, std::vector<JsonScalar>& out) {
  if (json.is_object()) {
    for (const auto& [key, value] : json.items()) flatten(value, join_path(path, key), out);
    return;
  }
  JsonScalar scalar;
  scalar.path = path;
  if (json.is_number()) {
    scalar.is_number = true;
    scalar.number = json.get<double>();
    scalar.text = json.dump();
  } else if (json.is_array()) {
    std::vector<std::string> items;
    for (const Json& item : json) items.push_back(item.is_string() ? item.get<std::string>() : item.dump());
    scalar.text = fmt::format("{}", fmt::join(items, ","));
  } else {
    scalar.text = json.is_string() ? json.get<std::string>() : json.dump();
  }
  out.push_back(std::move(scalar));
}

}  // namespace

std::vector<JsonScalar> flatten_json(const fs::path& file) {
  std::vector<JsonScalar> out;
  flatten(parse_json(read_text_file(file), file.string()), "", out);
  return out;
}

}  // namespace linden
