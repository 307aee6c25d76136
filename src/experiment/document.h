// A report as data: headings, paragraphs, tables, pictures. Written out as one-file HTML, Markdown with
// pictures beside it, CSV and LaTeX. Text is plain; each format does its own escaping.
#pragma once

#include <filesystem>
#include <string>
#include <variant>
#include <vector>

#include "experiment/table.h"

namespace linden {

struct Heading {
  int level = 2;  // 2 or 3; the title is the only 1
  std::string text;
};
struct Paragraph {
  std::string text;
  bool quiet = false;  // smaller and grey: an explanation, not a finding
};
struct BulletList {
  std::vector<std::string> items;
};
struct Picture {
  enum class Kind { kSvg, kPng };
  Kind kind = Kind::kSvg;
  std::string stem;      // file name without its ending, in Markdown's figures/
  std::string label;     // above the picture; may be empty
  std::string bytes;     // the file
  bool pixels = false;   // small pixels that must stay sharp when enlarged
  bool foreign = false;  // SVG that this report did not draw: embedded as an image, never as markup
};
struct Figure {
  std::string caption;
  std::vector<Picture> pictures;  // side by side where there is room
};

using Block = std::variant<Heading, Paragraph, BulletList, Table, Figure>;

struct Document {
  std::string title, subtitle;
  std::vector<Block> blocks;
};

// One self-contained file: style, SVG and base64 PNG inside, no scripts, readable on a phone.
std::string document_html(const Document& document);
// Pictures are named figures/<stem>.svg or .png; write_pictures puts them there.
std::string document_markdown(const Document& document);
void write_pictures(const Document& document, const std::filesystem::path& folder);
// One row a table row, with the union of all columns: "section", config keys and their
// values as in the config, then mean, deviation and number of
// runs of each metric, published values under their own names. RFC 4180 quoting.
std::string tables_csv(const Document& document);
// One `table` environment a table (needs booktabs).
std::string tables_latex(const Document& document);

std::string escape_html(const std::string& text);
std::string escape_markdown(const std::string& text);
std::string escape_latex(const std::string& text);

}  // namespace linden
