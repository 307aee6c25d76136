// The few SVG elements that linden's figures use, and their colours. Internal to src/io.
// No id, script, style sheet or outside reference: figures can stand side by side in one HTML page.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace linden::svg {

using Point = std::pair<double, double>;  // pixels from the top left

enum class Anchor { kStart, kMiddle, kEnd };

struct TextStyle {
  double size = 11;
  Anchor anchor = Anchor::kStart;
  std::string colour = "#333333";
  bool bold = false;
  double angle = 0;  // degrees, about the anchor
};

struct LineStyle {
  std::string colour = "#333333";
  double width = 1;
  std::string dashes = "";  // "4 3"; empty: solid
  double opacity = 1;
};

class Canvas {
 public:
  Canvas(int64_t width, int64_t height);
  void line(Point from, Point to, const LineStyle& style);
  void polyline(const std::vector<Point>& points, const LineStyle& style);
  // A vertical S from one point down to the other.
  void link(Point from, Point to, const LineStyle& style);
  void polygon(const std::vector<Point>& points, const std::string& fill, double opacity);
  void rectangle(Point corner, double width, double height, const std::string& fill, double opacity = 1);
  void frame(Point corner, double width, double height, const LineStyle& style);
  void circle(Point centre, double radius, const std::string& fill, double opacity = 1, const std::string& stroke = "", double stroke_width = 0);
  // Many equal dots as one element.
  void dots(const std::vector<Point>& centres, double radius, const std::string& fill, double opacity);
  void text(Point at, std::string_view words, const TextStyle& style = {});
  void png(Point corner, double width, double height, std::string_view base64_bytes);
  // The next element shows `words` where the pointer rests on it.
  void tooltip(std::string words) { tooltip_ = std::move(words); }
  std::string finish();

 private:
  void close_element(const char* name);
  std::string body_, tooltip_;
};

// Text made safe for XML: markup escaped, control characters and broken UTF-8 replaced by '?'.
std::string escape(std::string_view text);
// At most two decimals, no trailing zeros.
std::string pixels(double value);
// About how wide a text is drawn.
double text_width(std::string_view text, double size);
// A number for people: at most `digits` significant digits.
std::string short_number(double value, int digits = 3);

// Okabe and Ito, "Color universal design" (2008), without the yellow that white swallows; repeats after seven.
const char* series_colour(size_t index);
// Dashes that tell apart the series that share a colour.
const char* series_dashes(size_t index);
// Viridis (matplotlib, CC0) at position in [0, 1].
std::string viridis(double position);

inline constexpr const char* kInk = "#333333";
inline constexpr const char* kMuted = "#767676";
inline constexpr const char* kGrid = "#e6e6e6";

}  // namespace linden::svg
