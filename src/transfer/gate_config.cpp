#include "transfer/gate_config.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "core/error.h"
#include "core/random.h"

namespace linden {

void visit_fields(FieldVisitor& v, GateConfig& c) {
  visit(v, Field("num_linear", "layers that become linear").at_least(0), c.num_linear);
  visit(v,
        Field("selection",
              "learned: the gates choose the layers, step by step; first, last, random (by the seed), heuristic (those whose conversion alone costs the least "
              "velocity error), listed: chosen before the first step and linear at once")
            .one_of({"learned", "first", "last", "random", "heuristic", "listed"}),
        c.selection);
  visit(v, Field("layers", "of selection listed: the layers, counted from 0"), c.layers);
  visit(v, Field("forbidden", "layers that stay softmax, counted from 0"), c.forbidden);
  visit(v,
        Field("parametrisation",
              "of the scores r. raw: r itself, clamped to 0..1 after every step, rounding passes gradients straight through; sigmoid: AdaRound's rectified "
              "sigmoid of a free number")
            .one_of({"raw", "sigmoid"}),
        c.parametrisation);
  visit(v, Field("start", "r of every layer before the first step: 1 is softmax, 0 linear").between(0, 1), c.start);
  visit(v, Field("learning_rate", "of the scores (Adam); much above the weights', or nothing moves").above(0), c.learning_rate);
  visit(v,
        Field("constraint_weight",
              "lambda of the count constraint. Twice it should be about the largest gate gradient of the matching loss (layers.csv): far more and all scores "
              "fall as one, far less and they stay")
            .at_least(0),
        c.constraint_weight);
  visit(v, Field("regulariser_weight", "lambda of the decisiveness regulariser (the paper has one lambda for both)").at_least(0), c.regulariser_weight);
  visit(
      v,
      Field("commit_at", "share of the run after which the num_linear smallest r become 0 and all others 1; training goes on with these layers").between(0, 1),
      c.commit_at);
}

std::vector<bool> allowed_layers(const GateConfig& c, int64_t num_layers) {
  std::vector<bool> allowed(static_cast<size_t>(num_layers), true);
  for (const int64_t layer : c.forbidden) {
    if (layer < 0 || layer >= num_layers)
      throw ConfigError(fmt::format("gates.forbidden has layer {}, but the teacher has {} layers (allowed 0..{})", layer, num_layers, num_layers - 1));
    allowed[static_cast<size_t>(layer)] = false;
  }
  const int64_t count = std::ranges::count(allowed, true);
  if (c.num_linear > num_layers)
    throw ConfigError(fmt::format("gates.num_linear is {}, but the teacher has {} layers (allowed 0..{})", c.num_linear, num_layers, num_layers));
  if (c.num_linear > count)
    throw ConfigError(
        fmt::format("gates.num_linear is {}, but gates.forbidden [{}] leaves {} of the teacher's {} layers (allowed 0..{}); forbid fewer or lower num_linear",
                    c.num_linear, fmt::join(c.forbidden, ", "), count, num_layers, count));
  return allowed;
}

std::vector<int64_t> fixed_selection(const GateConfig& c, int64_t num_layers, uint64_t seed) {
  const std::vector<bool> allowed = allowed_layers(c, num_layers);
  if (c.selection == "learned" || c.selection == "heuristic") return {};
  std::vector<int64_t> chosen;
  if (c.selection == "listed") {
    chosen = c.layers;
    if (static_cast<int64_t>(chosen.size()) != c.num_linear)
      throw ConfigError(fmt::format("gates.layers has {} layers, but gates.num_linear is {}", chosen.size(), c.num_linear));
    for (const int64_t layer : chosen) {
      if (layer < 0 || layer >= num_layers)
        throw ConfigError(fmt::format("gates.layers has layer {}, but the teacher has {} layers (allowed 0..{})", layer, num_layers, num_layers - 1));
      if (!allowed[static_cast<size_t>(layer)]) throw ConfigError(fmt::format("gates.layers has layer {}, which gates.forbidden has too", layer));
      if (std::ranges::count(chosen, layer) > 1) throw ConfigError(fmt::format("gates.layers has layer {} twice", layer));
    }
  } else {
    std::vector<int64_t> order;
    for (const int64_t layer : c.selection == "random" ? permutation(seed, Purpose::kSelection, 0, num_layers) : std::vector<int64_t>{})
      if (allowed[static_cast<size_t>(layer)]) order.push_back(layer);
    if (c.selection != "random")
      for (int64_t layer = 0; layer < num_layers; ++layer)
        if (allowed[static_cast<size_t>(layer)]) order.push_back(layer);
    if (c.selection == "last") std::ranges::reverse(order);
    chosen.assign(order.begin(), order.begin() + c.num_linear);
  }
  std::ranges::sort(chosen);
  return chosen;
}

}  // namespace linden
