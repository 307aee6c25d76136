// The JSON Schema and the manual page of a config type.
#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "core/config.h"

namespace linden {
namespace {

using Json = nlohmann::ordered_json;

class SchemaWriter final : public FieldVisitor {
 public:
  SchemaWriter() { stack_.push_back(&root); }
  void value(const Field& field, bool& member) override { put(field, "boolean", member); }
  void value(const Field& field, int64_t& member) override { put(field, "integer", member); }
  void value(const Field& field, double& member) override { put(field, "number", member); }
  void value(const Field& field, std::string& member) override { put(field, "string", member); }
  void value(const Field& field, std::vector<int64_t>& member) override { put_list(field, "integer", member); }
  void value(const Field& field, std::vector<double>& member) override { put_list(field, "number", member); }
  void value(const Field& field, std::vector<std::string>& member) override { put_list(field, "string", member); }
  void begin_object(const Field& field) override {
    Json& child = property(field);
    open(child);
  }
  void end_object() override { stack_.pop_back(); }
  void variant(const Field& field, VariantRef& member) override {
    Json& child = property(field);
    const std::string chosen = member.current();
    child["default"] = Json{{"type", chosen}};
    child["oneOf"] = Json::array();
    for (const std::string& type : member.types()) {
      member.emplace(type);
      SchemaWriter alternative;
      alternative.root["properties"]["type"] = Json{{"const", type}};
      member.visit_current(alternative);
      alternative.root["required"] = Json::array({"type"});
      child["oneOf"].push_back(alternative.root);
    }
    member.emplace(chosen);
  }

  Json root = Json{{"type", "object"}, {"additionalProperties", false}, {"properties", Json::object()}};

 private:
  void open(Json& object) {
    object["type"] = "object";
    object["additionalProperties"] = false;
    object["properties"] = Json::object();
    stack_.push_back(&object);
  }
  Json& property(const Field& field) {
    Json& child = (*stack_.back())["properties"][field.name] = Json::object();
    child["description"] = field.help;
    return child;
  }
  static void add_range(Json& schema, const Field& field) {
    if (!std::isinf(field.minimum)) schema[field.exclusive_minimum ? "exclusiveMinimum" : "minimum"] = field.minimum;
    if (!std::isinf(field.maximum)) schema["maximum"] = field.maximum;
    if (!field.choices.empty()) schema["enum"] = field.choices;
  }
  template <class T>
  void put(const Field& field, const char* type, const T& member) {
    Json& child = property(field);
    child["type"] = type;
    child["default"] = member;
    add_range(child, field);
  }
  template <class T>
  void put_list(const Field& field, const char* type, const T& member) {
    Json& child = property(field);
    child["type"] = "array";
    child["items"] = Json{{"type", type}};
    child["default"] = member;
    add_range(child["items"], field);
  }
  std::vector<Json*> stack_;
};

class ManualWriter final : public FieldVisitor {
 public:
  explicit ManualWriter(std::string prefix) : prefix_{std::move(prefix)} {}
  void value(const Field& field, bool& member) override { row(field, "true/false", Json(member)); }
  void value(const Field& field, int64_t& member) override { row(field, "integer", Json(member)); }
  void value(const Field& field, double& member) override { row(field, "number", Json(member)); }
  void value(const Field& field, std::string& member) override { row(field, "text", Json(member)); }
  void value(const Field& field, std::vector<int64_t>& member) override { row(field, "integers", Json(member)); }
  void value(const Field& field, std::vector<double>& member) override { row(field, "numbers", Json(member)); }
  void value(const Field& field, std::vector<std::string>& member) override { row(field, "texts", Json(member)); }
  void begin_object(const Field& field) override { prefix_.push_back(prefix_.back() + field.name + "."); }
  void end_object() override { prefix_.pop_back(); }
  void variant(const Field& field, VariantRef& member) override {
    const std::string chosen = member.current();
    Field type(field.name + ".type", field.help);
    type.choices = member.types();
    row(type, "text", Json(chosen));
    for (const std::string& name : member.types()) {
      member.emplace(name);
      prefix_.push_back(fmt::format("{}{}[{}].", prefix_.back(), field.name, name));
      member.visit_current(*this);
      prefix_.pop_back();
    }
    member.emplace(chosen);
  }

  std::string text = "| key | type | default | allowed | on resume | meaning |\n| --- | --- | --- | --- | --- | --- |\n";

 private:
  void row(const Field& field, const char* type, const Json& value) {
    std::string allowed;
    if (!field.choices.empty()) allowed = fmt::format("{}", fmt::join(field.choices, ", "));
    else if (!std::isinf(field.minimum) && !std::isinf(field.maximum)) allowed = fmt::format("{}..{}", field.minimum, field.maximum);
    else if (!std::isinf(field.minimum)) allowed = fmt::format("{} {}", field.exclusive_minimum ? ">" : "≥", field.minimum);
    else if (!std::isinf(field.maximum)) allowed = fmt::format("≤ {}", field.maximum);
    text += fmt::format("| `{}{}` | {} | `{}` | {} | {} | {} |\n", prefix_.back(), field.name, type, value.dump(), allowed,
                        field.may_change ? "may change" : "", field.help);
  }
  std::vector<std::string> prefix_;
};

}  // namespace

std::string config_schema(ConfigRef& defaults, const std::string& title) {
  SchemaWriter writer;
  defaults.accept(writer);
  Json schema = {{"$schema", "https://json-schema.org/draft/2020-12/schema"}, {"title", title}};
  schema.update(writer.root);
  schema["properties"]["base"] = Json{{"type", "string"}, {"description", "a config file that this one starts from"}};
  return schema.dump(2);
}

std::string config_manual(ConfigRef& defaults) {
  ManualWriter writer("");
  defaults.accept(writer);
  return writer.text;
}

}  // namespace linden
