#include "ops/feature_map.h"

#include <fmt/ranges.h>

#include "core/error.h"

namespace linden {
namespace {

void visit_eps(FieldVisitor& v, double& eps) { visit(v, Field("eps", "the denominator is at least eps times the number of valid tokens").above(0), eps); }

}  // namespace

void visit_fields(FieldVisitor& v, HedgehogMapConfig& c) { visit_eps(v, c.eps); }
void visit_fields(FieldVisitor& v, SoftmaxMapConfig& c) { visit_eps(v, c.eps); }
void visit_fields(FieldVisitor& v, EluPlusOneMapConfig& c) { visit_eps(v, c.eps); }
void visit_fields(FieldVisitor& v, ReluMapConfig& c) { visit_eps(v, c.eps); }
void visit_fields(FieldVisitor& v, ExpMapConfig& c) { visit_eps(v, c.eps); }

void visit_fields(FieldVisitor& v, Taylor2MapConfig& c) {
  visit_eps(v, c.eps);
  visit(v, Field("projected_dim", "d, to which q and k are projected; R = 1 + d + d(d+1)/2").between(1, kMaxProjectedDim), c.projected_dim);
}

std::vector<std::string> feature_map_names() {
  FeatureMapConfig any;
  return VariantRefOf(any).types();
}

FeatureMapConfig feature_map_of(const std::string& name, std::optional<double> eps) {
  FeatureMapConfig map;
  VariantRefOf ref(map);
  ref.emplace(name);
  check(ref.current() == name, "linear_attention: feature_map is \"{}\", allowed: {}", name, fmt::join(ref.types(), ", "));
  if (eps) std::visit([&](auto& c) { c.eps = *eps; }, map);
  return map;
}

std::string feature_map_name(const FeatureMapConfig& map) {
  return std::visit([](const auto& c) { return std::string(c.kType); }, map);
}

double feature_map_eps(const FeatureMapConfig& map) {
  return std::visit([](const auto& c) { return c.eps; }, map);
}

bool has_projection(const FeatureMapConfig& map) { return std::holds_alternative<HedgehogMapConfig>(map) || std::holds_alternative<Taylor2MapConfig>(map); }

int64_t feature_dim(const FeatureMapConfig& map, int64_t head_dim, int64_t projected_dim) {
  if (std::holds_alternative<HedgehogMapConfig>(map)) return 2 * projected_dim;
  if (std::holds_alternative<Taylor2MapConfig>(map)) return 1 + projected_dim + projected_dim * (projected_dim + 1) / 2;
  return head_dim;
}

}  // namespace linden
