// Writing a config as JSON, and comparing two.
#include <fmt/format.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "core/config.h"

namespace linden {
namespace {

using Json = nlohmann::ordered_json;

class Writer final : public FieldVisitor {
 public:
  Writer() { stack_.push_back(&root); }
  void value(const Field& field, bool& member) override { put(field, member); }
  void value(const Field& field, int64_t& member) override { put(field, member); }
  void value(const Field& field, double& member) override {
    if (std::isfinite(member)) put(field, member);
    else put(field, nullptr);  // JSON has no NaN; readers of results take null for "not a number"
  }
  void value(const Field& field, std::string& member) override { put(field, member); }
  void value(const Field& field, std::vector<int64_t>& member) override { put(field, member); }
  void value(const Field& field, std::vector<double>& member) override { put(field, member); }
  void value(const Field& field, std::vector<std::string>& member) override { put(field, member); }
  void begin_object(const Field& field) override {
    Json& child = (*stack_.back())[field.name] = Json::object();
    stack_.push_back(&child);
  }
  void end_object() override { stack_.pop_back(); }
  void variant(const Field& field, VariantRef& member) override {
    begin_object(field);
    (*stack_.back())["type"] = member.current();
    member.visit_current(*this);
    end_object();
  }

  Json root = Json::object();

 private:
  template <class T>
  void put(const Field& field, const T& member) {
    (*stack_.back())[field.name] = member;
  }
  std::vector<Json*> stack_;
};

// Every leaf of a config as text, and whether its key may change on resume.
class Flattener final : public FieldVisitor {
 public:
  void value(const Field& field, bool& member) override { put(field, member); }
  void value(const Field& field, int64_t& member) override { put(field, member); }
  void value(const Field& field, double& member) override { put(field, member); }
  void value(const Field& field, std::string& member) override { put(field, member); }
  void value(const Field& field, std::vector<int64_t>& member) override { put(field, member); }
  void value(const Field& field, std::vector<double>& member) override { put(field, member); }
  void value(const Field& field, std::vector<std::string>& member) override { put(field, member); }
  void begin_object(const Field& field) override { prefix_.push_back(prefix() + field.name + "."); }
  void end_object() override { prefix_.pop_back(); }
  void variant(const Field& field, VariantRef& member) override {
    begin_object(field);
    put(Field("type", ""), member.current());
    member.visit_current(*this);
    end_object();
  }

  struct Leaf {
    std::string text;
    bool may_change;
  };
  std::map<std::string, Leaf> leaves;
  std::vector<std::string> order;

 private:
  std::string prefix() const { return prefix_.empty() ? "" : prefix_.back(); }
  template <class T>
  void put(const Field& field, const T& member) {
    order.push_back(prefix() + field.name);
    leaves[order.back()] = {Json(member).dump(), field.may_change};
  }
  std::vector<std::string> prefix_;
};

}  // namespace

std::string config_to_json(ConfigRef& config) {
  Writer writer;
  config.accept(writer);
  return writer.root.dump(2);
}

std::string config_table(ConfigRef& config) {
  Flattener flat;
  config.accept(flat);
  std::string text;
  for (const std::string& key : flat.order) {
    std::string value = flat.leaves[key].text;
    if (value.size() >= 2 && value.front() == '"') value = value.substr(1, value.size() - 2);
    text += fmt::format("{:<44}{}\n", key, value.empty() ? "-" : value);
  }
  return text;
}

std::vector<ConfigDifference> config_difference(ConfigRef& left, ConfigRef& right) {
  Flattener a, b;
  left.accept(a);
  right.accept(b);
  std::vector<ConfigDifference> differences;
  for (const std::string& key : a.order) {
    const auto found = b.leaves.find(key);
    if (found == b.leaves.end()) differences.push_back({key, a.leaves[key].text, "(absent)", false});
    else if (found->second.text != a.leaves[key].text)
      differences.push_back({key, a.leaves[key].text, found->second.text, a.leaves[key].may_change && found->second.may_change});
  }
  for (const std::string& key : b.order)
    if (!a.leaves.count(key)) differences.push_back({key, "(absent)", b.leaves[key].text, false});
  return differences;
}

}  // namespace linden
