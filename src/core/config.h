// Config structs and the one function that describes each of them.
//
// A config is a plain struct with defaults. Beside it stands
//     void visit_fields(FieldVisitor& v, FooConfig& c);
// which names every key once: name, member, help, allowed range. Reading, writing, `--set a.b=c`,
// the manual, the JSON Schema, `config diff` and the rules of --resume are all visitors over it.
// Results that are written as JSON (summary.json, state.json, a model folder's config.json) use the
// same machinery.
//
//     struct WideningConfig { double constant = 2.0; double exponent = 0.8; };
//     void visit_fields(FieldVisitor& v, WideningConfig& c) {
//       visit(v, Field("constant", "C of B = C N^alpha").above(0), c.constant);
//       visit(v, Field("exponent", "alpha of B = C N^alpha").between(0, 1), c.exponent);
//     }
//
// Variants: std::variant<AConfig, BConfig>, each alternative with `static constexpr const char*
// kType`; in JSON an object whose key "type" is that name.
#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace linden {

// One key of a config.
struct Field {
  Field(std::string name_, std::string help_) : name(std::move(name_)), help(std::move(help_)) {}

  Field& at_least(double bound) {
    minimum = bound;
    return *this;
  }
  Field& at_most(double bound) {
    maximum = bound;
    return *this;
  }
  Field& between(double low, double high) { return at_least(low).at_most(high); }
  Field& above(double bound) {
    minimum = bound;
    exclusive_minimum = true;
    return *this;
  }
  Field& one_of(std::vector<std::string> names) {
    choices = std::move(names);
    return *this;
  }
  // The key may differ from the stored config when a run is resumed.
  Field& changeable() {
    may_change = true;
    return *this;
  }

  std::string name;
  std::string help;
  double minimum = -std::numeric_limits<double>::infinity();
  double maximum = std::numeric_limits<double>::infinity();
  bool exclusive_minimum = false;
  std::vector<std::string> choices;
  bool may_change = false;
};

// A std::variant of configs seen without its type.
class VariantRef {
 public:
  virtual ~VariantRef() = default;
  virtual std::vector<std::string> types() const = 0;
  virtual std::string current() const = 0;
  virtual void emplace(const std::string& type) = 0;  // default-constructs that alternative
  virtual void visit_current(class FieldVisitor& visitor) = 0;
};

class FieldVisitor {
 public:
  virtual ~FieldVisitor() = default;
  virtual void value(const Field& field, bool& member) = 0;
  virtual void value(const Field& field, int64_t& member) = 0;
  virtual void value(const Field& field, double& member) = 0;
  virtual void value(const Field& field, std::string& member) = 0;
  virtual void value(const Field& field, std::vector<int64_t>& member) = 0;
  virtual void value(const Field& field, std::vector<double>& member) = 0;
  virtual void value(const Field& field, std::vector<std::string>& member) = 0;
  virtual void begin_object(const Field& field) = 0;
  virtual void end_object() = 0;
  virtual void variant(const Field& field, VariantRef& member) = 0;
};

inline void visit(FieldVisitor& v, const Field& f, bool& m) { v.value(f, m); }
inline void visit(FieldVisitor& v, const Field& f, int64_t& m) { v.value(f, m); }
inline void visit(FieldVisitor& v, const Field& f, double& m) { v.value(f, m); }
inline void visit(FieldVisitor& v, const Field& f, std::string& m) { v.value(f, m); }
inline void visit(FieldVisitor& v, const Field& f, std::vector<int64_t>& m) { v.value(f, m); }
inline void visit(FieldVisitor& v, const Field& f, std::vector<double>& m) { v.value(f, m); }
inline void visit(FieldVisitor& v, const Field& f, std::vector<std::string>& m) { v.value(f, m); }

template <class... Alternatives>
class VariantRefOf final : public VariantRef {
 public:
  explicit VariantRefOf(std::variant<Alternatives...>& value) : value_(value) {}
  std::vector<std::string> types() const override { return {Alternatives::kType...}; }
  std::string current() const override {
    return std::visit([](const auto& c) { return std::string(c.kType); }, value_);
  }
  void emplace(const std::string& type) override { ((type == Alternatives::kType ? (value_ = Alternatives{}, 0) : 0), ...); }
  void visit_current(FieldVisitor& visitor) override {
    std::visit([&](auto& c) { visit_fields(visitor, c); }, value_);
  }

 private:
  std::variant<Alternatives...>& value_;
};

template <class... Alternatives>
void visit(FieldVisitor& v, const Field& f, std::variant<Alternatives...>& member) {
  VariantRefOf<Alternatives...> ref(member);
  v.variant(f, ref);
}

// A nested config struct.
template <class Config>
void visit(FieldVisitor& v, const Field& f, Config& member) {
  v.begin_object(f);
  visit_fields(v, member);
  v.end_object();
}

// A config of any type, seen without its type: what the functions below work on.
class ConfigRef {
 public:
  virtual ~ConfigRef() = default;
  virtual void accept(FieldVisitor& visitor) = 0;
  virtual std::unique_ptr<ConfigRef> clone() const = 0;  // a copy that owns its config
};
template <class Config>
class OwnedConfig final : public ConfigRef {
 public:
  explicit OwnedConfig(Config config_ = {}) : config(std::move(config_)) {}
  void accept(FieldVisitor& visitor) override { visit_fields(visitor, config); }
  std::unique_ptr<ConfigRef> clone() const override { return std::make_unique<OwnedConfig>(config); }

  Config config;
};
template <class Config>
class ConfigRefOf final : public ConfigRef {
 public:
  explicit ConfigRefOf(Config& config) : config_(config) {}
  void accept(FieldVisitor& visitor) override { visit_fields(visitor, config_); }
  std::unique_ptr<ConfigRef> clone() const override { return std::make_unique<OwnedConfig<Config>>(config_); }

 private:
  Config& config_;
};

// Where a config comes from, in the order in which later wins: defaults, the file's "base" chain,
// the file, the `--set` assignments ("a.b=c"; c is JSON, or a bare word taken as text).
struct ConfigSource {
  std::filesystem::path file;  // may be empty: defaults and assignments only
  std::vector<std::string> assignments;
  bool allow_unknown = false;  // for foreign files (a model folder's config.json)
};

// Fills `config`. Throws ConfigError: unknown key (with the nearest valid one), wrong type, value out
// of range; always with file and JSON path. Returns lines worth logging (a variant's type was
// replaced, so its other keys start from their defaults).
std::vector<std::string> read_config(const ConfigSource& source, ConfigRef& config);
// JSON text, two spaces of indentation, every key.
std::string config_to_json(ConfigRef& config);
// The effective settings as people read them: one line a key.
std::string config_table(ConfigRef& config);
// Fills `config` from JSON text; `origin` names it in messages.
void config_from_json(const std::string& text, const std::string& origin, ConfigRef& config, bool allow_unknown = false);
// JSON Schema (draft 2020-12) of the config type.
std::string config_schema(ConfigRef& defaults, const std::string& title);
// Markdown table of every key: key, type, default, range, help.
std::string config_manual(ConfigRef& defaults);
// Lines "key: left -> right" for the keys in which two configs differ.
struct ConfigDifference {
  std::string key, left, right;
  bool may_change = false;  // both sides mark the key changeable()
};
std::vector<ConfigDifference> config_difference(ConfigRef& left, ConfigRef& right);
// The key closest in spelling to `name` (edit distance at most 1/2 of its length), or "".
std::string nearest_name(const std::string& name, const std::vector<std::string>& candidates);

template <class Config>
std::vector<std::string> read_config(const ConfigSource& source, Config& config) {
  ConfigRefOf<Config> ref(config);
  return read_config(source, static_cast<ConfigRef&>(ref));
}
template <class Config>
std::string to_json(Config config) {  // by value: visiting is non-const
  ConfigRefOf<Config> ref(config);
  return config_to_json(ref);
}
template <class Config>
std::string settings_table(Config config) {
  ConfigRefOf<Config> ref(config);
  return config_table(ref);
}
template <class Config>
void from_json(const std::string& text, const std::string& origin, Config& config, bool allow_unknown = false) {
  ConfigRefOf<Config> ref(config);
  config_from_json(text, origin, ref, allow_unknown);
}

// Scalars of any JSON file by dotted path, in file order; arrays of scalars are joined by commas.
// For readers that must not know the type (tables over many runs). Throws InputError on bad JSON.
struct JsonScalar {
  std::string path, text;
  bool is_number = false;
  double number = 0;
};
std::vector<JsonScalar> flatten_json(const std::filesystem::path& file);

}  // namespace linden
