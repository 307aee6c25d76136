#include "io/svg.h"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cmath>
#include <limits>
#include <regex>

#include "core/error.h"
#include "io/svg_axes.h"
#include "io/svg_canvas.h"
#include "io/svg_tree_layout.h"
#include "tests/support/support.h"

using namespace linden;
using Catch::Matchers::ContainsSubstring;
using linden::test::message_of;

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

size_t count(const std::string& text, const std::string& part) {
  size_t found = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

// Tags close in the order in which they opened, and no number is broken.
void check_well_formed(const std::string& svg) {
  CHECK(svg.starts_with("<svg "));
  CHECK(svg.ends_with("</svg>\n"));
  std::vector<std::string> open;
  size_t tags = 0;
  for (size_t at = svg.find('<'); at != std::string::npos; at = svg.find('<', at + 1), ++tags) {
    const size_t end = svg.find('>', at);
    REQUIRE(end != std::string::npos);
    const std::string tag = svg.substr(at + 1, end - at - 1);  // "rect x=...", "/text" or "line .../"
    CHECK(tag.find('<') == std::string::npos);
    const std::string name = tag.substr(0, tag.find_first_of(" /", 1));
    if (tag.front() == '/') {
      REQUIRE_FALSE(open.empty());
      CHECK("/" + open.back() == tag);
      open.pop_back();
    } else if (tag.back() != '/') {
      open.push_back(name);
    }
  }
  CHECK(open.empty());
  CHECK(tags > 1);
  CHECK(count(svg, "nan") == 0);
  CHECK(count(svg, "=\"inf") == 0);
  CHECK(count(svg, ",inf") == 0);
}

std::vector<std::string> labels(const std::vector<svg::Tick>& ticks) {
  std::vector<std::string> texts;
  for (const auto& tick : ticks) {
    if (!tick.label.empty()) texts.push_back(tick.label);
  }
  return texts;
}

// A root with `branching` children each, `levels` levels below it.
TreeFigure full_tree(int64_t branching, int64_t levels) {
  TreeFigure figure;
  figure.title = "tree";
  figure.parent = {-1};
  figure.level = {0};
  for (size_t i = 0; i < figure.parent.size(); ++i) {
    if (figure.level[i] == levels) continue;
    for (int64_t k = 0; k < branching; ++k) {
      figure.parent.push_back(static_cast<int64_t>(i));
      figure.level.push_back(figure.level[i] + 1);
    }
  }
  for (size_t i = 0; i < figure.parent.size(); ++i) {
    figure.value.push_back(std::sin(static_cast<double>(i)));
    figure.weight.push_back(1000.0 / static_cast<double>(i + 1));
  }
  return figure;
}

}  // namespace

TEST_CASE("text is made safe for XML", "[unit]") {
  CHECK(svg::escape("a<b>&\"'") == "a&lt;b&gt;&amp;&quot;&#39;");
  CHECK(svg::escape("größe ≤ 𝛼") == "größe ≤ 𝛼");
  CHECK(svg::escape(std::string("a\0b\tc\n\x1b", 7)) == "a?b c ?");
  CHECK(svg::escape("\xff\xc3") == "??");
  CHECK(svg::escape("\xc0\xaf") == "??");       // overlong
  CHECK(svg::escape("\xed\xa0\x80") == "???");  // surrogate
  CHECK(svg::escape("\xef\xbf\xbe") == "???");  // U+FFFE
}

TEST_CASE("base64", "[unit]") {
  CHECK(base64("").empty());
  CHECK(base64("f") == "Zg==");
  CHECK(base64("fo") == "Zm8=");
  CHECK(base64("foo") == "Zm9v");
  CHECK(base64("foobar") == "Zm9vYmFy");
  CHECK(base64("\xff\xfe\xfd") == "//79");
}

TEST_CASE("ticks are round numbers inside the axis", "[unit]") {
  CHECK(labels(svg::linear_ticks(0, 10, 5)) == std::vector<std::string>{"0", "2", "4", "6", "8", "10"});
  CHECK(labels(svg::linear_ticks(-0.13, 0.27, 4)) == std::vector<std::string>{"−0.1", "0.0", "0.1", "0.2"});
  CHECK(labels(svg::linear_ticks(1.03, 1.19, 4)) == std::vector<std::string>{"1.05", "1.10", "1.15"});
  CHECK(labels(svg::linear_ticks(0, 3e7, 3)) == std::vector<std::string>{"0", "1·10⁷", "2·10⁷", "3·10⁷"});
  CHECK(labels(svg::logarithmic_ticks(80, 120000, 8)) == std::vector<std::string>{"100", "200", "500", "1000", "2000", "5000", "10⁴", "2·10⁴", "5·10⁴", "10⁵"});
  CHECK(labels(svg::logarithmic_ticks(1e-6, 1e6, 4)) == std::vector<std::string>{"10⁻⁶", "10⁻³", "1", "1000", "10⁶"});
  for (const double low : {-1e9, -3.3, 0.0, 1e-7, 12345.678}) {
    for (const double length : {1e-8, 0.37, 5.0, 1e4, 1e12}) {
      if (length < 1e-9 * std::abs(low)) continue;  // an extent widens what is narrower
      const auto ticks = svg::linear_ticks(low, low + length, 6);
      INFO(low << " + " << length);
      CHECK(ticks.size() >= 2);
      CHECK(ticks.size() <= 13);
      for (const auto& tick : ticks) CHECK((tick.value >= low - 1e-6 * length && tick.value <= low + (1 + 1e-6) * length));
    }
  }
}

TEST_CASE("extents leave out what an axis cannot show", "[unit]") {
  svg::Extent linear(false), logarithmic(true);
  for (const double value : {kNan, kInfinity, -kInfinity, 1e301}) linear.include(value);
  CHECK(linear.padded(0.1) == std::pair{0.0, 1.0});
  linear.include(2);
  CHECK(linear.padded(0.1) == std::pair{1.8, 2.2});
  linear.include(4);
  CHECK(linear.padded(0) == std::pair{2.0, 4.0});
  logarithmic.include(0);
  logarithmic.include(-3);
  CHECK(logarithmic.padded(0) == std::pair{1.0, 10.0});
  logarithmic.include(8);
  CHECK(logarithmic.padded(0) == std::pair{4.0, 16.0});
}

TEST_CASE("curves: lines, bands, references, escapes", "[unit]") {
  CurveFigure figure;
  figure.title = "loss <of> training & more";
  figure.x = {"NFE", true};
  figure.y = {"log reward", false};
  figure.curves = {{"DTS", {1, 10, 100, 1000}, {-3, -2, -1.5, -1.4}, {-4, -2.5, -2, -1.5}, {-2, -1.5, -1, -1.3}},
                   {"best of N", {1, 10, 100, 1000}, {-3, kNan, -2, kInfinity}, {}, {}}};
  figure.horizontal_lines = {{"exact", -1.25}};
  const std::string svg = curves_svg(figure);
  check_well_formed(svg);
  CHECK_THAT(svg, ContainsSubstring("loss &lt;of&gt; training &amp; more"));
  CHECK(count(svg, "<polygon") == 1);
  CHECK(count(svg, "<polyline") == 1);                 // the other curve has no two points in a row
  CHECK(count(svg, "<circle") == 4 + 2);               // few points are marked
  CHECK(count(svg, "stroke-dasharray=\"5 4\"") == 2);  // the reference and its legend
  for (const char* label : {">DTS<", ">best of N<", ">exact<", ">NFE<", ">log reward<", ">10<", ">100<"}) CHECK_THAT(svg, ContainsSubstring(label));
}

TEST_CASE("long curves stay small and keep their extremes", "[unit]") {
  CurveFigure figure;
  Curve curve{"loss", {}, {}, {}, {}};
  for (int i = 0; i < 200'000; ++i) {
    curve.x.push_back(i);
    curve.y.push_back(i == 123'456 ? 100.0 : std::sin(i));
    curve.low.push_back(curve.y.back() - 1);
    curve.high.push_back(curve.y.back() + 1);
  }
  figure.curves = {curve};
  const std::string svg = curves_svg(figure);
  check_well_formed(svg);
  CHECK(svg.size() < 120'000);
  // The spike reaches almost to the top of the plot: the smallest y of the line.
  const std::string line = svg.substr(svg.find("<polyline points=\""), svg.find("\" fill=\"none\"", svg.find("<polyline")) - svg.find("<polyline points=\""));
  static const std::regex kPoint(R"(([0-9.]+),([0-9.]+))");
  double top = 1e9;
  for (std::sregex_iterator point(line.begin(), line.end(), kPoint), end; point != end; ++point) top = std::min(top, std::stod((*point)[2]));
  CHECK(top < 60);
}

TEST_CASE("figures without data are still figures", "[unit]") {
  check_well_formed(curves_svg({}));
  check_well_formed(bars_svg({}));
  check_well_formed(scatter_svg({}));
  CurveFigure figure;
  figure.x.logarithmic = true;
  figure.curves = {{"none", {-1, 0, kNan}, {1, 2, 3}, {}, {}}, {"same", {2, 2}, {5, 5}, {}, {}}};
  check_well_formed(curves_svg(figure));
}

TEST_CASE("bars: one a value, none for NaN, below the axis for negative values", "[unit]") {
  BarFigure figure;
  figure.title = "reward";
  figure.groups = {"digit 3", "even"};
  figure.series = {{"DTS", {1.5, -2}}, {"best of N", {kNan, 3}}};
  const std::string svg = bars_svg(figure);
  check_well_formed(svg);
  CHECK(count(svg, "<rect") == 1 + 2 + 3);  // paper, legend, bars
  CHECK_THAT(svg, ContainsSubstring(">−2<"));
  figure.series[0].second.pop_back();
  CHECK_THAT(message_of([&] { bars_svg(figure); }), ContainsSubstring("series 'DTS' has 1 values, wanted one for each of 2 groups"));
  figure.groups.assign(30, "a rather long name of a group");
  figure.series = {{"x", std::vector<double>(30, 1.0)}};
  const std::string slanted = bars_svg(figure);
  check_well_formed(slanted);
  CHECK(count(slanted, "rotate(-35") == 30);
}

TEST_CASE("curves in colours of their own, events and a bar of colours", "[unit]") {
  CurveFigure figure;
  figure.curves = {{"", {0, 10}, {1, 0}, {}, {}, "#123456"}, {"named", {0, 10}, {0, 1}, {}, {}, {}}};
  figure.vertical_lines = {{"commit 8", 8}, {"late", 100}};
  figure.colour_bar = {"layer", "0", "29"};
  const std::string svg = curves_svg(figure);
  check_well_formed(svg);
  CHECK(count(svg, "stroke=\"#123456\"") == 1);
  CHECK_THAT(svg, ContainsSubstring(">commit 8<") && ContainsSubstring(">late<") && ContainsSubstring(">layer<") && ContainsSubstring(">29<"));
  CHECK(count(svg, scale_colour(0.5 / 33)) == 1);
  figure.vertical_lines.clear();
  figure.colour_bar = {};
  CHECK(count(curves_svg(figure), "<rect") == 1);  // the ground alone
}

TEST_CASE("heat maps: one cell a number, none where there is no number", "[unit]") {
  HeatMapFigure figure;
  figure.x = {100, 200, 400};
  figure.y = {{0, 0.5}, {0.5, 1}};
  figure.values = {{0.001, 0.1, 10}, {kNan, 0, 1}};  // 0 has no place among logarithms
  figure.value_label = "error";
  const std::string svg = heat_map_svg(figure);
  check_well_formed(svg);
  CHECK(count(svg, "<title>") == 4);
  CHECK_THAT(svg, ContainsSubstring("<title>100: 0.001</title>") && ContainsSubstring(">error<") && ContainsSubstring(">10<"));
  CHECK(count(svg, scale_colour(0)) == 1);
  CHECK(count(svg, scale_colour(0.5)) >= 1);  // 0.1, half way between 0.001 and 10
  figure.logarithmic = false;
  CHECK(count(heat_map_svg(figure), "<title>") == 5);
  figure.x = {5};
  figure.values = {{kNan}, {kNan}};
  check_well_formed(heat_map_svg(figure));
  figure.values.pop_back();
  CHECK_THAT(message_of([&] { heat_map_svg(figure); }), ContainsSubstring("1 rows of values, wanted 2"));
}

TEST_CASE("cells: a box a cell in the colour of its kind", "[unit]") {
  CellFigure figure;
  figure.kinds = {"softmax", "linear"};
  figure.rows = {{"ours", {0, 1, 1}}, {"theirs", {1, 0, 0}}};
  const std::string svg = cells_svg(figure);
  check_well_formed(svg);
  CHECK(count(svg, "<title>") == 6);
  CHECK(count(svg, ": linear</title>") == 3);
  CHECK_THAT(svg, ContainsSubstring(">ours<") && ContainsSubstring(">theirs<"));
  figure.rows[0].second[0] = 2;
  CHECK_THAT(message_of([&] { cells_svg(figure); }), ContainsSubstring("row 'ours' has kind 2 of 2"));
}

TEST_CASE("scatter: separate dots for few points, one path for many", "[unit]") {
  ScatterFigure figure;
  figure.series = {{"few", {{0, 0}, {1, 1}, {kNan, 2}}}, {"many", {}}};
  for (int i = 0; i < 50'000; ++i) figure.series[1].second.emplace_back(std::sin(i), std::cos(1.7 * i));
  const std::string svg = scatter_svg(figure);
  check_well_formed(svg);
  CHECK(count(svg, "<circle") == 2 + 2);  // two dots, two legend marks
  CHECK(count(svg, "stroke-linecap=\"round\"") == 1);
  CHECK(svg.size() < 1'500'000);
}

TEST_CASE("a small tree is drawn whole", "[unit]") {
  TreeFigure figure = full_tree(3, 3);
  figure.level_labels = {"start", "one", "two", "<samples>"};
  figure.thumbnails.assign(figure.parent.size(), "");
  figure.thumbnails.back() = base64("not really a picture");
  figure.value[5] = kNan;
  figure.value[6] = -kInfinity;
  const std::string svg = tree_svg(figure);
  check_well_formed(svg);
  CHECK(count(svg, "<circle") == 40 + 1);  // every node, and the ring of the pictured one
  CHECK(count(svg, "<path") == 39);
  CHECK(count(svg, "<image") == 1);
  CHECK_THAT(svg, ContainsSubstring("&lt;samples&gt;"));
  CHECK_THAT(svg, ContainsSubstring("data:image/png;base64," + base64("not really a picture")));
  CHECK_THAT(svg, ContainsSubstring(">tree<"));
}

TEST_CASE("a large tree keeps the best, the most visited and their ancestors", "[unit]") {
  TreeFigure figure = full_tree(5, 6);  // 19,531 nodes
  figure.value[19'000] = 50;
  figure.weight[12'345] = 1e6;
  const svg::TreeLayout layout = svg::lay_out_tree(figure);
  CHECK(layout.node.size() <= svg::kMaxTreeNodes);
  CHECK(layout.node.size() > svg::kMaxTreeNodes - 10);
  CHECK(std::find(layout.node.begin(), layout.node.end(), 19'000) != layout.node.end());
  CHECK(std::find(layout.node.begin(), layout.node.end(), 12'345) != layout.node.end());
  for (size_t i = 1; i < layout.node.size(); ++i) {
    const auto parent = static_cast<size_t>(layout.parent[i]);
    REQUIRE(parent < i);
    CHECK(static_cast<int64_t>(layout.node[parent]) == figure.parent[layout.node[i]]);
  }
  const std::string svg = tree_svg(figure);
  check_well_formed(svg);
  CHECK_THAT(svg, ContainsSubstring(std::to_string(layout.node.size()) + " of 19531 nodes drawn"));
  CHECK(svg.size() < 800'000);
}

TEST_CASE("strips of siblings do not overlap and are as wide as their leaves", "[unit]") {
  TreeFigure figure;
  figure.parent = {-1, 0, 0, 1, 1, 1};  // node 2 is a leaf beside a family of three
  figure.level = {0, 1, 1, 2, 2, 2};
  figure.value.assign(6, 0);
  figure.weight.assign(6, 1);
  const auto layout = svg::lay_out_tree(figure);
  CHECK(layout.num_leaves == 4);
  CHECK(layout.slot == std::vector<double>{1, 0.75, 0.25, 0.25, 0.25, 0.25});
  CHECK(layout.x == std::vector<double>{0.5, 0.375, 0.875, 0.125, 0.375, 0.625});
}

TEST_CASE("thumbnails: only as many as fit, the best ones", "[unit]") {
  TreeFigure figure = full_tree(200, 1);
  figure.thumbnails.assign(figure.parent.size(), "AAAA");
  figure.thumbnails[0] = "";
  const std::string svg = tree_svg(figure);
  check_well_formed(svg);
  CHECK(count(svg, "<image") == 16);  // 900 pixels, less margins, in steps of 48
}

TEST_CASE("figures check their input", "[unit]") {
  TreeFigure figure = full_tree(2, 2);
  const auto problem = [](TreeFigure changed) { return message_of([&] { tree_svg(changed); }); };
  auto changed = figure;
  changed.parent[3] = 5;
  CHECK_THAT(problem(changed), ContainsSubstring("node 3 has parent 5, wanted 0 to 2"));
  changed = figure;
  changed.parent[0] = 0;
  CHECK_THAT(problem(changed), ContainsSubstring("node 0 has parent 0, wanted -1"));
  changed = figure;
  changed.level[3] = 1;
  CHECK_THAT(problem(changed), ContainsSubstring("node 3 is on level 1, its parent 1 on level 1"));
  changed = figure;
  changed.value.pop_back();
  CHECK_THAT(problem(changed), ContainsSubstring("7 parents, 7 levels, 6 values"));
  CHECK_THAT(problem({}), ContainsSubstring("a tree without nodes"));
  CurveFigure curves;
  curves.curves = {{"a", {1, 2}, {1}, {}, {}}};
  CHECK_THAT(message_of([&] { curves_svg(curves); }), ContainsSubstring("curve 'a' has 2 x and 1 y"));
  curves.curves = {{"a", {1}, {1}, {1, 2}, {1, 2}}};
  CHECK_THAT(message_of([&] { curves_svg(curves); }), ContainsSubstring("the band of curve 'a' has 2 and 2 values"));
}
