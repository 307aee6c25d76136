#include "models/tensor_fit.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "core/error.h"

namespace linden {
namespace {

constexpr size_t kShown = 20;  // of each group

std::string group(const std::vector<std::string>& lines, const std::string& what) {
  if (lines.empty()) return "";
  const auto end = lines.begin() + static_cast<std::ptrdiff_t>(std::min(lines.size(), kShown));
  std::string text = fmt::format("\n  {} {}:\n    {}", lines.size(), what, fmt::join(lines.begin(), end, "\n    "));
  if (lines.size() > kShown) text += fmt::format("\n    ... and {} more", lines.size() - kShown);
  return text;
}

}  // namespace

std::string shape_text(const std::vector<int64_t>& shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

TensorFit compare_shapes(const TensorShapes& wanted, const TensorShapes& given) {
  TensorFit fit;
  for (const auto& [name, shape] : given) {
    const auto target = wanted.find(name);
    if (target == wanted.end()) {
      fit.surplus.push_back(fmt::format("{} {}", name, shape_text(shape)));
    } else if (target->second != shape) {
      fit.misshaped.push_back(fmt::format("{} is {}, wanted {}", name, shape_text(shape), shape_text(target->second)));
    }
  }
  for (const auto& [name, shape] : wanted) {
    if (!given.contains(name)) fit.missing.push_back(fmt::format("{} {}", name, shape_text(shape)));
  }
  return fit;
}

void check_fit(const TensorFit& fit, const std::string& origin, const std::string& advice) {
  if (fit.fits()) return;
  throw InputError(fmt::format("{}: the tensors do not fit the model that the config describes{}{}{}\n  {}", origin, group(fit.missing, "missing"),
                               group(fit.surplus, "that the model does not have"), group(fit.misshaped, "of another shape"), advice));
}

}  // namespace linden
