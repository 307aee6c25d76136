#include "experiment/sweep_leaves.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

namespace linden {
namespace {

class LeafCollector final : public FieldVisitor {
 public:
  void value(const Field& field, bool& member) override { put(field, member ? "true" : "false"); }
  void value(const Field& field, int64_t& member) override { put(field, fmt::format("{}", member)); }
  void value(const Field& field, double& member) override { put(field, leaf_text(member)); }
  void value(const Field& field, std::string& member) override { put(field, leaf_text(member)); }
  void value(const Field& field, std::vector<int64_t>& member) override { put_list(field, member); }
  void value(const Field& field, std::vector<double>& member) override { put_list(field, member); }
  void value(const Field& field, std::vector<std::string>& member) override { put_list(field, member); }
  void begin_object(const Field& field) override { prefixes_.push_back(prefix() + field.name + "."); }
  void end_object() override { prefixes_.pop_back(); }
  void variant(const Field& field, VariantRef& member) override {
    begin_object(field);
    put(Field("type", ""), leaf_text(member.current()));
    member.visit_current(*this);
    end_object();
  }

  std::vector<ConfigLeaf> leaves;

 private:
  static std::string text_of(int64_t number) { return fmt::format("{}", number); }
  static std::string text_of(double number) { return leaf_text(number); }
  static std::string text_of(const std::string& text) { return leaf_text(text); }

  std::string prefix() const { return prefixes_.empty() ? "" : prefixes_.back(); }
  void put(const Field& field, std::string text) { leaves.push_back({prefix() + field.name, std::move(text)}); }
  template <class T>
  void put_list(const Field& field, const std::vector<T>& members) {
    std::vector<std::string> items;
    for (const T& member : members) items.push_back(text_of(member));
    put(field, leaf_text(items));
  }

  std::vector<std::string> prefixes_;
};

}  // namespace

std::vector<ConfigLeaf> config_leaves(ConfigRef& config) {
  LeafCollector collector;
  config.accept(collector);
  return std::move(collector.leaves);
}

const ConfigLeaf* find_leaf(const std::vector<ConfigLeaf>& leaves, const std::string& key) {
  const auto found = std::find_if(leaves.begin(), leaves.end(), [&](const ConfigLeaf& leaf) { return leaf.key == key; });
  return found == leaves.end() ? nullptr : &*found;
}

std::string leaf_text(double number) {
  constexpr double kExactIntegers = 9e15;
  if (std::floor(number) == number && std::abs(number) < kExactIntegers) return fmt::format("{}", static_cast<int64_t>(number));
  return fmt::format("{}", number);
}
std::string leaf_text(const std::string& text) { return '"' + text + '"'; }
std::string leaf_text(const std::vector<std::string>& items) { return fmt::format("[{}]", fmt::join(items, ",")); }

std::string config_hash(const std::string& command, const std::vector<ConfigLeaf>& leaves, const std::vector<std::string>& ignored) {
  uint64_t hash = 0xcbf29ce484222325;
  const auto add = [&](const std::string& text) {
    for (const char c : text + '\n') hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  };
  add(command);
  for (const ConfigLeaf& leaf : leaves) {
    if (std::find(ignored.begin(), ignored.end(), leaf.key) == ignored.end()) add(leaf.key + "=" + leaf.text);
  }
  return fmt::format("{:016x}", hash);
}

}  // namespace linden
