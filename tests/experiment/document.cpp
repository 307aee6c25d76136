// Writing a report out: numbers, escaping, the four formats.
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <limits>

#include "experiment/document.h"
#include "core/files.h"
#include "experiment/numbers.h"
#include "tests/support/support.h"

using namespace linden;
using linden::test::TemporaryFolder;

namespace {

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("numbers as people read them", "[unit]") {
  CHECK(format_number(0.012345) == "0.0123");
  CHECK(format_number(-12.347) == "-12.35");
  CHECK(format_number(1234567) == "1,234,567");
  CHECK(format_number(1234.56) == "1,235");
  CHECK(format_number(-1e-6) == "-1.0e-06");
  CHECK(format_number(0) == "0");
  CHECK(format_number(0.98, Display::kPercent) == "98.0 %");
  CHECK(format_number(std::numeric_limits<double>::quiet_NaN()) == "–");
  CHECK(format_number(std::numeric_limits<double>::infinity()) == "inf");
  CHECK(format_statistic({0.5, 0.04, 3}) == "0.500 ± 0.040");
  CHECK(format_statistic({12.3456, 0.002, 3}) == "12.346 ± 0.002");
  CHECK(format_statistic({0.975, 0.01, 3}, Display::kPercent) == "97.5 ± 1.0 %");
  CHECK(format_statistic({2018.4, 20.2, 3}) == "2,018 ± 20");
  CHECK(format_statistic({0.5, 0, 1}) == "0.500");
  CHECK(format_statistic({}) == "–");
}

TEST_CASE("each format escapes its own special characters", "[unit]") {
  CHECK(escape_html("a<b> & \"c\" 'd'") == "a&lt;b&gt; &amp; &quot;c&quot; &#39;d&#39;");
  CHECK(escape_markdown("DTS* | a_b [x] <y>\nz") == "DTS\\* \\| a\\_b \\[x\\] \\<y\\> z");
  CHECK(escape_latex("50 % of $x_1 & {a}^2 ~ # \\ ± é") ==
        "50 \\% of \\$x\\_1 \\& \\{a\\}\\textasciicircum{}2 \\textasciitilde{} \\# \\textbackslash{} $\\pm$ é");
}

TEST_CASE("a document in HTML and Markdown", "[unit]") {
  Document document;
  document.title = "A <b>title</b>";
  document.blocks.push_back(Heading{2, "Head & tail"});
  document.blocks.push_back(Paragraph{"A < B"});
  document.blocks.push_back(BulletList{{"x: <script>alert(1)</script>"}});
  Figure figure;
  figure.caption = "Two pictures";
  figure.pictures.push_back({Picture::Kind::kSvg, "curve", "", "<?xml version=\"1.0\"?><svg xmlns=\"http://www.w3.org/2000/svg\"/>"});
  figure.pictures.push_back({Picture::Kind::kPng, "grid", "DTS*", "PNG bytes"});
  Picture foreign{Picture::Kind::kSvg, "tree", "", "<svg><script>alert(2)</script></svg>"};
  foreign.foreign = true;
  figure.pictures.push_back(foreign);
  document.blocks.push_back(figure);

  const std::string html = document_html(document);
  CHECK(contains(html, "<title>A &lt;b&gt;title&lt;/b&gt;</title>"));
  CHECK(contains(html, "<h2>Head &amp; tail</h2>"));
  CHECK(contains(html, "<p>A &lt; B</p>"));
  CHECK(contains(html, "name=\"viewport\""));
  CHECK_FALSE(contains(html, "<script"));  // not even from a picture that a run left
  CHECK_FALSE(contains(html, "<?xml"));
  CHECK(contains(html, "<svg xmlns=\"http://www.w3.org/2000/svg\"/>"));
  CHECK(contains(html, "src=\"data:image/png;base64,UE5HIGJ5dGVz\""));
  CHECK(contains(html, "src=\"data:image/svg+xml;base64,"));
  CHECK_FALSE(contains(html, "src=\"http"));

  const std::string markdown = document_markdown(document);
  CHECK(contains(markdown, "# A \\<b\\>title\\</b\\>\n"));
  CHECK(
      contains(markdown, "|  | DTS\\* |  |\n| :-: | :-: | :-: |\n| ![curve](figures/curve.svg) | ![DTS\\*](figures/grid.png) | ![tree](figures/tree.svg) |\n"));
  TemporaryFolder folder;
  write_pictures(document, folder.path);
  CHECK(read_text_file(folder / "figures/grid.png") == "PNG bytes");
  document.blocks.push_back(figure);
  CHECK_THROWS(write_pictures(document, folder.path));  // two pictures of one name
}

TEST_CASE("tables in every format", "[unit]") {
  TemporaryFolder folder;
  write_file_atomically(folder / "config.json", R"({"method": {"type": "dts, \"new\""}, "nfe": 10})");
  write_file_atomically(folder / "summary.json", R"({"command": "align", "nfe": 12})");
  const RunRecord run(folder.path, "a");
  Table table;
  table.caption = "Digit 3";
  table.key_columns = {"method.type", "nfe"};
  table.key_labels = {"Method", "NFE budget"};
  table.columns = {metric_info("nfe"), metric_info("mean_reward")};
  table.published_columns = {metric_info("mean_reward")};
  table.notes = {"5 % rule"};
  TableRow row;
  row.keys = {"DTS*", "10"};
  row.runs = {&run};
  row.cells = {{{12, 0, 1}, false}, {{-0.5, 0.25, 2}, true}};
  row.published = {{}};
  table.rows = {row};
  Document document;
  document.blocks.push_back(table);

  CHECK(tables_csv(document) ==
        "section,method.type,config.nfe,runs,nfe,nfe deviation,mean_reward,mean_reward deviation,mean_reward published,mean_reward published deviation\n"
        "Digit 3,\"dts, \"\"new\"\"\",10,1,12,0,-0.5,0.25,,\n");
  CHECK(contains(tables_latex(document), "\\caption{Digit 3. 5 \\% rule}\n\\begin{tabular}{llrr|r}\n"));
  CHECK(contains(tables_latex(document), "DTS* & 10 & 12 & \\textbf{$-$0.500 $\\pm$ 0.250} & \\textit{--} \\\\\n"));
  CHECK(contains(document_markdown(document), "| DTS\\* | 10 | 12 | **-0.500 ± 0.250** | *–* |\n\n- 5 % rule\n"));
  CHECK(contains(document_html(document), "<td class=\"best\">-0.500 ± 0.250</td><td class=\"published\">–</td>"));
  CHECK(contains(document_html(document), "Mean log reward\u00a0↑"));
}
