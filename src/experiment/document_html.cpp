// A report as one HTML file: style inside, SVG as markup, PNG in base64, no scripts.
#include <fmt/format.h>

#include "experiment/document.h"
#include "experiment/numbers.h"
#include "io/svg.h"

namespace linden {

namespace {

constexpr const char* kStyle = R"(
:root { --ink: #1c2430; --quiet: #5d6878; --line: #dfe4ea; --soft: #f5f7f9; --accent: #2f6f4f; --best: #e4f2ea; }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: #fff; color: var(--ink); font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 2.2rem 1.2rem 4rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .3rem; letter-spacing: -.01em; }
h2 { font-size: 1.4rem; line-height: 1.25; margin: 3rem 0 .8rem; padding-top: 1.2rem; border-top: 2px solid var(--line); }
h3 { font-size: 1.08rem; margin: 2rem 0 .5rem; }
p, ul { margin: .7rem 0; max-width: 46rem; }
li { margin: .25rem 0; overflow-wrap: anywhere; }
.subtitle, .quiet, figcaption, .notes { color: var(--quiet); }
.quiet, .notes { font-size: .9rem; }
.notes { margin: .4rem 0 1.6rem; padding-left: 1.1rem; }
figure { margin: 1.4rem 0; }
figcaption { font-size: .9rem; margin-top: .5rem; max-width: 46rem; }
.pictures { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 10rem), 1fr)); align-items: start; }
.pictures.wide { grid-template-columns: 1fr; }
.pictures.curves { grid-template-columns: repeat(auto-fit, minmax(min(100%, 19rem), 1fr)); }
.picture { min-width: 0; }
.picture > .label { font-weight: 600; font-size: .92rem; margin-bottom: .3rem; }
.picture svg, .picture img { display: block; width: 100%; height: auto; }
.picture img { border: 1px solid var(--line); border-radius: 4px; }
.picture img.pixels { image-rendering: pixelated; max-width: 26rem; }
.table { overflow-x: auto; margin: 1.2rem 0 .3rem; border: 1px solid var(--line); border-radius: 6px; }
table { border-collapse: collapse; width: 100%; font-size: .93rem; font-variant-numeric: tabular-nums; }
th, td { padding: .45rem .8rem; text-align: right; border-top: 1px solid var(--line); white-space: nowrap; }
thead th { background: var(--soft); font-weight: 600; vertical-align: bottom; white-space: normal; min-width: 5.2rem; border-top: 0; }
th.key, td.key { text-align: left; }
td.key { font-weight: 600; }
td.best { background: var(--best); color: var(--accent); font-weight: 700; }
.published { border-left: 2px solid var(--line); color: var(--quiet); font-style: italic; }
@media (max-width: 560px) { main { padding: 1.3rem .9rem 3rem; } h1 { font-size: 1.5rem; } th, td { padding: .4rem .55rem; } }
@media print { .table { overflow: visible; } h2 { break-after: avoid; } figure, .table { break-inside: avoid; } }
)";

std::string picture_html(const Picture& picture) {
  std::string html = "<div class=\"picture\">";
  if (!picture.label.empty()) html += fmt::format("<div class=\"label\">{}</div>", escape_html(picture.label));
  if (picture.kind == Picture::Kind::kSvg && !picture.foreign) {
    const size_t root = picture.bytes.find("<svg");  // past an XML declaration, which HTML does not know
    html += root == std::string::npos ? "" : picture.bytes.substr(root);
  } else {
    html += fmt::format("<img alt=\"{}\"{} src=\"data:image/{};base64,{}\">", escape_html(picture.label.empty() ? picture.stem : picture.label),
                        picture.pixels ? " class=\"pixels\"" : "", picture.kind == Picture::Kind::kSvg ? "svg+xml" : "png", base64(picture.bytes));
  }
  return html + "</div>\n";
}

const char* layout_of(const Figure& figure) {
  if (figure.pictures.size() == 1 && figure.pictures[0].kind == Picture::Kind::kSvg) return "pictures wide";
  return !figure.pictures.empty() && figure.pictures[0].kind == Picture::Kind::kSvg ? "pictures curves" : "pictures";
}

std::string table_head(const Table& table) {
  std::string html = "<thead><tr>";
  for (const std::string& label : table.key_labels) html += fmt::format("<th class=\"key\" scope=\"col\">{}</th>", escape_html(label));
  for (const MetricInfo& column : table.columns) {
    const char* arrow = column.better == Better::kHigher ? "\u00a0↑" : column.better == Better::kLower ? "\u00a0↓" : "";
    html += fmt::format("<th scope=\"col\">{}{}</th>", escape_html(column.label), arrow);
  }
  for (const MetricInfo& column : table.published_columns) html += fmt::format("<th class=\"published\" scope=\"col\">{}</th>", escape_html(column.label));
  return html + "</tr></thead>\n";
}

std::string table_row(const Table& table, const TableRow& row) {
  std::string html = "<tr>";
  for (const std::string& key : row.keys) html += fmt::format("<td class=\"key\">{}</td>", escape_html(key.empty() ? "–" : key));
  for (size_t c = 0; c < row.cells.size(); ++c) {
    html +=
        fmt::format("<td{}>{}</td>", row.cells[c].marked ? " class=\"best\"" : "", escape_html(format_statistic(row.cells[c].value, table.columns[c].display)));
  }
  for (size_t c = 0; c < row.published.size(); ++c) {
    html += fmt::format("<td class=\"published\">{}</td>", escape_html(format_statistic(row.published[c], table.published_columns[c].display)));
  }
  return html + "</tr>\n";
}

struct BlockToHtml {
  std::string operator()(const Heading& heading) const { return fmt::format("<h{0}>{1}</h{0}>\n", heading.level, escape_html(heading.text)); }
  std::string operator()(const Paragraph& paragraph) const {
    return fmt::format("<p{}>{}</p>\n", paragraph.quiet ? " class=\"quiet\"" : "", escape_html(paragraph.text));
  }
  std::string operator()(const BulletList& list) const { return list_html(list.items, ""); }
  std::string operator()(const Figure& figure) const {
    std::string html = fmt::format("<figure><div class=\"{}\">\n", layout_of(figure));
    for (const Picture& picture : figure.pictures) html += picture_html(picture);
    return html + fmt::format("</div><figcaption>{}</figcaption></figure>\n", escape_html(figure.caption));
  }
  std::string operator()(const Table& table) const {
    std::string html = "<div class=\"table\"><table>" + table_head(table) + "<tbody>\n";
    for (const TableRow& row : table.rows) html += table_row(table, row);
    return html + "</tbody></table></div>\n" + (table.notes.empty() ? "" : list_html(table.notes, " class=\"notes\""));
  }
  static std::string list_html(const std::vector<std::string>& items, const char* attributes) {
    std::string html = fmt::format("<ul{}>", attributes);
    for (const std::string& item : items) html += fmt::format("<li>{}</li>", escape_html(item));
    return html + "</ul>\n";
  }
};

}  // namespace

std::string escape_html(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '&') out += "&amp;";
    else if (c == '<') out += "&lt;";
    else if (c == '>') out += "&gt;";
    else if (c == '"') out += "&quot;";
    else if (c == '\'') out += "&#39;";
    else out += c;
  }
  return out;
}

std::string document_html(const Document& document) {
  std::string html = fmt::format(
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<title>{0}</title>\n<style>{1}</style>\n</head>\n<body>\n<main>\n<h1>{0}</h1>\n",
      escape_html(document.title), kStyle);
  if (!document.subtitle.empty()) html += fmt::format("<p class=\"subtitle\">{}</p>\n", escape_html(document.subtitle));
  for (const Block& block : document.blocks) html += std::visit(BlockToHtml(), block);
  return html + "</main>\n</body>\n</html>\n";
}

}  // namespace linden
