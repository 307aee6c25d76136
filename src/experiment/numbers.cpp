#include "experiment/numbers.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace linden {

namespace {

constexpr double kLargestWhole = 1e15;

bool is_whole(double value) { return std::abs(value) < kLargestWhole && value == std::floor(value); }

// Decimals that show `digits` significant digits of `value`.
int decimals_for(double value, int digits) {
  if (value == 0) return 0;
  return std::clamp(digits - 1 - static_cast<int>(std::floor(std::log10(std::abs(value)))), 0, 12);
}

// Three digits; four from 10 on, so that both decimals of a log value are seen.
int decimals_of(double value) { return decimals_for(value, std::abs(value) >= 10 ? 4 : 3); }

std::string grouped(double value) {
  std::string digits = fmt::format("{:.0f}", std::abs(value));
  for (int64_t at = static_cast<int64_t>(digits.size()) - 3; at > 0; at -= 3) digits.insert(static_cast<size_t>(at), ",");
  return (value < 0 ? "-" : "") + digits;
}

bool needs_exponent(double value) { return value != 0 && (std::abs(value) < 1e-4 || std::abs(value) >= 1e7); }

}  // namespace

std::string format_number(double value, Display display) {
  if (std::isnan(value)) return "–";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  if (display == Display::kPercent) return fmt::format("{:.1f} %", 100 * value);
  if (is_whole(value)) return grouped(value);
  if (needs_exponent(value)) return fmt::format("{:.1e}", value);
  return std::abs(value) >= 1000 ? grouped(std::round(value)) : fmt::format("{:.{}f}", value, decimals_of(value));
}

std::string format_statistic(const Statistic& value, Display display) {
  if (value.count == 0) return "–";
  if (value.count < 2 && value.deviation == 0) return format_number(value.mean, display);
  if (display == Display::kPercent) return fmt::format("{:.1f} ± {:.1f} %", 100 * value.mean, 100 * value.deviation);
  if (value.deviation == 0) return format_number(value.mean, display) + " ± 0";
  if (needs_exponent(value.mean)) return fmt::format("{:.1e} ± {:.1e}", value.mean, value.deviation);
  if (std::abs(value.mean) >= 1000) return grouped(std::round(value.mean)) + " ± " + format_number(std::round(value.deviation));
  const int decimals = std::min(std::max(decimals_of(value.mean), decimals_for(value.deviation, 1)), 6);
  return fmt::format("{:.{}f} ± {:.{}f}", value.mean, decimals, value.deviation, decimals);
}

std::string csv_cell(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string out = "\"";
  for (const char c : text) out += c == '"' ? "\"\"" : std::string(1, c);
  return out + "\"";
}

}  // namespace linden
