#include "io/svg_axes.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace linden::svg {
namespace {

constexpr double kLargest = 1e300;  // differences of larger values overflow
constexpr double kTickSize = 10.5, kLabelSize = 11.5, kLegendSize = 11, kTitleSize = 13;

std::string superscript(int exponent) {
  static const char* const kDigits[] = {"⁰", "¹", "²", "³", "⁴", "⁵", "⁶", "⁷", "⁸", "⁹"};
  std::string text = exponent < 0 ? "⁻" : "";
  for (const char digit : std::to_string(std::abs(exponent))) text += kDigits[digit - '0'];
  return text;
}

std::string power_label(int mantissa, int exponent) {
  if (exponent >= -2 && exponent <= 3) return short_number(mantissa * std::pow(10.0, exponent));
  return (mantissa == 1 ? "" : std::to_string(mantissa) + "·") + "10" + superscript(exponent);
}

std::string minus(std::string text) {
  if (text.starts_with('-')) text.replace(0, 1, "−");
  return text;
}

// The labels of one axis are alike: as many decimals as its step has, powers of ten where numbers get long.
std::string linear_label(double value, double step, double largest) {
  value += 0.0;  // no -0
  const double step_power = std::floor(std::log10(step) + 1e-9);
  if (largest < 1e6 && largest >= 1e-3) { return minus(fmt::format("{:.{}f}", value, std::clamp(static_cast<int>(-step_power), 0, 12))); }
  if (value == 0) return "0";
  const double power = std::floor(std::log10(largest));
  const int decimals = std::clamp(static_cast<int>(power - step_power), 0, 12);
  return minus(fmt::format("{:.{}f}·10", value / std::pow(10.0, power), decimals)) + superscript(static_cast<int>(power));
}

int wanted_ticks(double first_pixel, double last_pixel, bool horizontal) {
  return std::max(2, static_cast<int>(std::abs(last_pixel - first_pixel) / (horizontal ? 80 : 45)));
}

}  // namespace

bool Extent::shows(double value) const { return std::isfinite(value) && std::abs(value) <= kLargest && (!logarithmic_ || value > 1 / kLargest); }

void Extent::include(double value) {
  if (!shows(value)) return;
  low_ = any_ ? std::min(low_, value) : value;
  high_ = any_ ? std::max(high_, value) : value;
  any_ = true;
}

std::pair<double, double> Extent::padded(double margin) const {
  if (!any_) return logarithmic_ ? std::pair{1.0, 10.0} : std::pair{0.0, 1.0};
  if (logarithmic_) {
    if (high_ / low_ < 1 + 1e-9) return {low_ / 2, high_ * 2};
    const double factor = std::pow(high_ / low_, margin);
    return {low_ / factor, high_ * factor};
  }
  const double length = high_ - low_;
  const double size = std::max(std::abs(low_), std::abs(high_));
  if (length <= 1e-9 * size || length == 0) {  // one value, or as good as one
    const double room = size > 0 ? 0.1 * size : 1;
    return {low_ - room, high_ + room};
  }
  return {low_ - margin * length, high_ + margin * length};
}

std::vector<Tick> linear_ticks(double low, double high, int wanted) {
  const double rough = (high - low) / wanted;
  const double power = std::pow(10.0, std::floor(std::log10(rough)));
  const double ratio = rough / power;
  const double step = power * (ratio < 1.5 ? 1 : ratio < 3.5 ? 2 : ratio < 7.5 ? 5 : 10);
  const double largest = std::max(std::abs(low), std::abs(high));
  std::vector<Tick> ticks;
  const double first = std::ceil(low / step - 1e-9);
  for (int i = 0; i < 3 * wanted + 3; ++i) {
    const double value = (first + i) * step;
    if (value > high + 1e-9 * step) break;
    ticks.push_back({value, linear_label(value, step, largest)});
  }
  return ticks;
}

std::vector<Tick> logarithmic_ticks(double low, double high, int wanted) {
  const int first = static_cast<int>(std::floor(std::log10(low))), last = static_cast<int>(std::ceil(std::log10(high)));
  const double decades = std::log10(high / low);
  if (decades < 0.7) return linear_ticks(low, high, wanted);
  const int stride = std::max(1, static_cast<int>(std::ceil(decades / wanted)));
  std::vector<Tick> ticks;
  for (int exponent = first; exponent <= last; ++exponent) {
    for (int mantissa = 1; mantissa <= 9; ++mantissa) {
      const double value = mantissa * std::pow(10.0, exponent);
      if (value < low * (1 - 1e-9) || value > high * (1 + 1e-9)) continue;
      const bool between = decades < 0.45 * wanted && (mantissa == 2 || mantissa == 5);
      const bool labelled = (mantissa == 1 && exponent % stride == 0) || between;
      if (labelled || decades < 8) ticks.push_back({value, labelled ? power_label(mantissa, exponent) : ""});
    }
  }
  return ticks;
}

Scale::Scale(bool logarithmic, std::pair<double, double> range, double first_pixel, double last_pixel)
    : logarithmic_(logarithmic),
      extent_(logarithmic),
      low_(range.first),
      high_(range.second),
      first_(first_pixel),
      last_(last_pixel) {
  const int wanted = wanted_ticks(first_pixel, last_pixel, last_pixel > first_pixel);
  ticks_ = logarithmic ? logarithmic_ticks(low_, high_, wanted) : linear_ticks(low_, high_, wanted);
}

double Scale::operator()(double value) const {
  const double part = logarithmic_ ? std::log(value / low_) / std::log(high_ / low_) : (value - low_) / (high_ - low_);
  return first_ + std::clamp(part, 0.0, 1.0) * (last_ - first_);
}

double draw_heading(Canvas& canvas, int64_t width, const std::string& title, const std::vector<LegendEntry>& legend) {
  constexpr double kMargin = 12, kRow = 17, kMarkWidth = 22, kGap = 16;
  double y = 10;
  if (!title.empty()) {
    y += kTitleSize;
    canvas.text({kMargin, y}, title, {.size = kTitleSize, .bold = true});
    y += 6;
  }
  double x = kMargin;
  bool any = false;
  for (const auto& entry : legend) {
    if (entry.label.empty()) continue;
    const double needed = kMarkWidth + 5 + text_width(entry.label, kLegendSize);
    if (!any || x + needed > static_cast<double>(width) - kMargin) {
      y += any || !title.empty() ? kRow : kLegendSize;
      x = kMargin;
    }
    any = true;
    const double middle = y - 4;
    switch (entry.mark) {
      case LegendEntry::Mark::kLine: canvas.line({x, middle}, {x + kMarkWidth, middle}, {entry.colour, 2, entry.dashes}); break;
      case LegendEntry::Mark::kBox: canvas.rectangle({x + 8, middle - 5}, 11, 10, entry.colour); break;
      case LegendEntry::Mark::kDot: canvas.circle({x + 14, middle}, 4, entry.colour, 0.8); break;
    }
    canvas.text({x + kMarkWidth + 5, y}, entry.label, {.size = kLegendSize});
    x += needed + kGap;
  }
  return y + 12;
}

double draw_colour_bar(Canvas& canvas, double top, const ColourBar& scale) {
  constexpr double kMargin = 12, kBarWidth = 132, kBarHeight = 10;
  constexpr int kSteps = 33;
  const double baseline = top + 9;
  double x = kMargin;
  const auto put = [&](const std::string& words) {
    canvas.text({x, baseline}, words, {.size = kLegendSize});
    x = std::round(x + text_width(words, kLegendSize) + 11);
  };
  put(scale.label);
  put(scale.low);
  for (int i = 0; i < kSteps; ++i) canvas.rectangle({x + kBarWidth * i / kSteps, top}, kBarWidth / kSteps, kBarHeight, scale_colour((i + 0.5) / kSteps));
  x += kBarWidth + 9;
  put(scale.high);
  return top + 22;
}

void draw_events(Canvas& canvas, const PlotArea& area, const Scale& x, const std::vector<std::pair<std::string, double>>& events) {
  double free_from = area.left;  // labels that would touch are left out
  for (const auto& [label, value] : events) {
    const double at = x(value), half = text_width(label, kTickSize) / 2;
    canvas.line({at, area.top}, {at, area.bottom}, {kInk, 1.1, "4 3"});
    const double middle = std::clamp(at, area.left + half, std::max(area.left + half, area.right - half));
    if (middle - half < free_from) continue;
    canvas.text({middle, area.top - 5}, label, {.size = kTickSize, .anchor = Anchor::kMiddle});
    free_from = middle + half + 6;
  }
}

double y_label_room(bool logarithmic, std::pair<double, double> range, double height) {
  double widest = 0;
  const int wanted = wanted_ticks(0, height, false);
  for (const auto& tick : logarithmic ? logarithmic_ticks(range.first, range.second, wanted) : linear_ticks(range.first, range.second, wanted)) {
    widest = std::max(widest, text_width(tick.label, kTickSize));
  }
  return widest + 8;
}

void draw_x_axis(Canvas& canvas, const PlotArea& area, const Scale& scale, const std::string& label) {
  double free_from = -1e9;  // labels that would touch are left out
  for (const auto& tick : scale.ticks()) {
    const double x = scale(tick.value);
    if (!tick.label.empty()) canvas.line({x, area.top}, {x, area.bottom}, {kGrid, 1});
    canvas.line({x, area.bottom}, {x, area.bottom + (tick.label.empty() ? 2.5 : 4)}, {kMuted, 1});
    const double half = text_width(tick.label, kTickSize) / 2;
    if (tick.label.empty() || x - half < free_from) continue;
    canvas.text({x, area.bottom + 16}, tick.label, {.size = kTickSize, .anchor = Anchor::kMiddle});
    free_from = x + half + 5;
  }
  canvas.line({area.left, area.bottom}, {area.right, area.bottom}, {kMuted, 1});
  canvas.text({(area.left + area.right) / 2, area.bottom + 33}, label, {.size = kLabelSize, .anchor = Anchor::kMiddle});
}

void draw_y_axis(Canvas& canvas, const PlotArea& area, const Scale& scale, const std::string& label) {
  double free_from = 1e9;
  for (const auto& tick : scale.ticks()) {
    const double y = scale(tick.value);
    if (!tick.label.empty()) canvas.line({area.left, y}, {area.right, y}, {kGrid, 1});
    canvas.line({area.left - (tick.label.empty() ? 2.5 : 4), y}, {area.left, y}, {kMuted, 1});
    if (tick.label.empty() || y > free_from) continue;
    canvas.text({area.left - 7, y + 3.6}, tick.label, {.size = kTickSize, .anchor = Anchor::kEnd});
    free_from = y - kTickSize;
  }
  canvas.line({area.left, area.top}, {area.left, area.bottom}, {kMuted, 1});
  canvas.text({14, (area.top + area.bottom) / 2}, label, {.size = kLabelSize, .anchor = Anchor::kMiddle, .angle = -90});
}

}  // namespace linden::svg
