#include "io/svg_canvas.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace linden::svg {
namespace {

// Length of the UTF-8 sequence that starts `text`, or 0 where it is broken.
size_t utf8_length(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const size_t length = byte(0) < 0x80 ? 1 : byte(0) < 0xc2 ? 0 : byte(0) < 0xe0 ? 2 : byte(0) < 0xf0 ? 3 : byte(0) < 0xf5 ? 4 : 0;
  if (length == 0 || length > text.size()) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  if (length == 3 && byte(0) == 0xe0 && byte(1) < 0xa0) return 0;                     // overlong
  if (length == 3 && byte(0) == 0xed && byte(1) > 0x9f) return 0;                     // half of a surrogate pair
  if (length == 3 && byte(0) == 0xef && byte(1) == 0xbf && byte(2) > 0xbd) return 0;  // no character at all
  if (length == 4 && (byte(0) == 0xf0 ? byte(1) < 0x90 : byte(0) == 0xf4 && byte(1) > 0x8f)) return 0;
  return length;
}

std::string stroke(const LineStyle& style) {
  std::string text = fmt::format(R"( stroke="{}" stroke-width="{}")", style.colour, pixels(style.width));
  if (!style.dashes.empty()) text += fmt::format(R"( stroke-dasharray="{}")", style.dashes);
  if (style.opacity < 1) text += fmt::format(R"( stroke-opacity="{}")", pixels(style.opacity));
  return text;
}

std::string point_list(const std::vector<Point>& points) {
  std::string text;
  for (const auto& [x, y] : points) text += (text.empty() ? "" : " ") + pixels(x) + "," + pixels(y);
  return text;
}

}  // namespace

std::string escape(std::string_view text) {
  std::string safe;
  while (!text.empty()) {
    const size_t length = utf8_length(text);
    const auto first = static_cast<unsigned char>(text.front());
    if (length == 0 || first < 0x20 || first == 0x7f) safe += first == '\t' || first == '\n' ? ' ' : '?';
    else if (first == '&') safe += "&amp;";
    else if (first == '<') safe += "&lt;";
    else if (first == '>') safe += "&gt;";
    else if (first == '"') safe += "&quot;";
    else if (first == '\'') safe += "&#39;";
    else safe += text.substr(0, length);
    text.remove_prefix(std::max<size_t>(length, 1));
  }
  return safe;
}

std::string pixels(double value) {
  std::string text = fmt::format("{:.2f}", value);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text == "-0" ? "0" : text;
}

double text_width(std::string_view text, double size) {
  constexpr std::string_view kNarrow = "ijltfrI.,:;'|!()[] ", kWide = "mwMWQOGCD%@&";
  double width = 0;  // in units of the font size, after Helvetica
  for (const char c : text) {
    if ((c & 0xc0) == 0x80) continue;  // the rest of a UTF-8 sequence
    width += kNarrow.find(c) != std::string_view::npos ? 0.31 : kWide.find(c) != std::string_view::npos ? 0.8 : c >= 'A' && c <= 'Z' ? 0.67 : 0.56;
  }
  return width * size;
}

std::string short_number(double value, int digits) {
  if (!std::isfinite(value)) return std::isnan(value) ? "NaN" : value > 0 ? "∞" : "−∞";
  std::string text = fmt::format("{:.{}g}", value == 0 ? 0.0 : value, digits);
  const double size = std::abs(value);
  if (size >= 1000 && size < 1e6) text = fmt::format("{:.0f}", value);  // %g would say 1.2e+04
  if (text.starts_with('-')) text.replace(0, 1, "−");
  return text;
}

const char* series_colour(size_t index) {
  static constexpr std::array kColours{"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#555555"};
  return kColours[index % kColours.size()];
}

const char* series_dashes(size_t index) {
  static constexpr std::array kDashes{"", "6 3", "2 2", "8 3 2 3"};
  return kDashes[index / 7 % kDashes.size()];
}

std::string viridis(double position) {
  static constexpr std::array<std::array<int, 3>, 11> kStops{{{68, 1, 84},
                                                              {72, 36, 117},
                                                              {65, 68, 135},
                                                              {53, 95, 141},
                                                              {42, 120, 142},
                                                              {33, 145, 140},
                                                              {34, 168, 132},
                                                              {66, 190, 113},
                                                              {122, 209, 81},
                                                              {189, 223, 38},
                                                              {253, 231, 37}}};
  const double scaled = std::clamp(position, 0.0, 1.0) * (kStops.size() - 1);
  const size_t low = std::min(static_cast<size_t>(scaled), kStops.size() - 2);
  const double part = scaled - static_cast<double>(low);
  const auto mix = [&](size_t c) { return static_cast<int>(std::lround((1 - part) * kStops[low][c] + part * kStops[low + 1][c])); };
  return fmt::format("#{:02x}{:02x}{:02x}", mix(0), mix(1), mix(2));
}

Canvas::Canvas(int64_t width, int64_t height) {
  body_ = fmt::format(R"(<svg xmlns="http://www.w3.org/2000/svg" width="{0}" height="{1}" viewBox="0 0 {0} {1}" )"
                      R"(font-family="Helvetica, Arial, 'DejaVu Sans', sans-serif" role="img">)"
                      "\n"
                      R"(<rect width="{0}" height="{1}" fill="#ffffff"/>)"
                      "\n",
                      width, height);
}

void Canvas::close_element(const char* name) {
  if (tooltip_.empty()) {
    body_ += "/>\n";
    return;
  }
  body_ += fmt::format("><title>{}</title></{}>\n", escape(tooltip_), name);
  tooltip_.clear();
}

void Canvas::line(Point from, Point to, const LineStyle& style) {
  body_ +=
      fmt::format(R"(<line x1="{}" y1="{}" x2="{}" y2="{}"{})", pixels(from.first), pixels(from.second), pixels(to.first), pixels(to.second), stroke(style));
  close_element("line");
}

void Canvas::polyline(const std::vector<Point>& points, const LineStyle& style) {
  body_ += fmt::format(R"(<polyline points="{}" fill="none" stroke-linejoin="round" stroke-linecap="round"{})", point_list(points), stroke(style));
  close_element("polyline");
}

void Canvas::link(Point from, Point to, const LineStyle& style) {
  const std::string middle = pixels((from.second + to.second) / 2);
  body_ += fmt::format(R"(<path d="M{},{}C{},{} {},{} {},{}" fill="none"{})", pixels(from.first), pixels(from.second), pixels(from.first), middle,
                       pixels(to.first), middle, pixels(to.first), pixels(to.second), stroke(style));
  close_element("path");
}

void Canvas::polygon(const std::vector<Point>& points, const std::string& fill, double opacity) {
  body_ += fmt::format(R"(<polygon points="{}" fill="{}" fill-opacity="{}")", point_list(points), fill, pixels(opacity));
  close_element("polygon");
}

void Canvas::rectangle(Point corner, double width, double height, const std::string& fill, double opacity) {
  body_ +=
      fmt::format(R"(<rect x="{}" y="{}" width="{}" height="{}" fill="{}")", pixels(corner.first), pixels(corner.second), pixels(width), pixels(height), fill);
  if (opacity < 1) body_ += fmt::format(R"( fill-opacity="{}")", pixels(opacity));
  close_element("rect");
}

void Canvas::frame(Point corner, double width, double height, const LineStyle& style) {
  body_ += fmt::format(R"(<rect x="{}" y="{}" width="{}" height="{}" fill="none"{})", pixels(corner.first), pixels(corner.second), pixels(width),
                       pixels(height), stroke(style));
  close_element("rect");
}

void Canvas::circle(Point centre, double radius, const std::string& fill, double opacity, const std::string& stroke, double stroke_width) {
  body_ += fmt::format(R"(<circle cx="{}" cy="{}" r="{}" fill="{}")", pixels(centre.first), pixels(centre.second), pixels(radius), fill);
  if (opacity < 1) body_ += fmt::format(R"( fill-opacity="{}")", pixels(opacity));
  if (!stroke.empty()) body_ += fmt::format(R"( stroke="{}" stroke-width="{}")", stroke, pixels(stroke_width));
  close_element("circle");
}

void Canvas::dots(const std::vector<Point>& centres, double radius, const std::string& fill, double opacity) {
  body_ += R"(<path d=")";
  for (const auto& [x, y] : centres) body_ += fmt::format("M{},{}h0", pixels(x), pixels(y));
  body_ += fmt::format(R"(" stroke="{}" stroke-width="{}" stroke-linecap="round" stroke-opacity="{}")", fill, pixels(2 * radius), pixels(opacity));
  close_element("path");
}

void Canvas::text(Point at, std::string_view words, const TextStyle& style) {
  static constexpr std::array kAnchors{"start", "middle", "end"};
  body_ += fmt::format(R"(<text x="{}" y="{}" font-size="{}" fill="{}" text-anchor="{}")", pixels(at.first), pixels(at.second), pixels(style.size),
                       style.colour, kAnchors[static_cast<size_t>(style.anchor)]);
  if (style.bold) body_ += R"( font-weight="600")";
  if (style.angle != 0) { body_ += fmt::format(R"~( transform="rotate({} {} {})")~", pixels(style.angle), pixels(at.first), pixels(at.second)); }
  body_ += ">" + escape(words) + "</text>\n";
}

void Canvas::png(Point corner, double width, double height, std::string_view base64_bytes) {
  body_ += fmt::format(R"(<image x="{}" y="{}" width="{}" height="{}" style="image-rendering:pixelated" href="data:image/png;base64,{}")", pixels(corner.first),
                       pixels(corner.second), pixels(width), pixels(height), escape(base64_bytes));
  close_element("image");
}

std::string Canvas::finish() { return body_ + "</svg>\n"; }

}  // namespace linden::svg
