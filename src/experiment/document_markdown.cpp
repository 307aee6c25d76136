// A report as Markdown (GitHub's tables) with its pictures in figures/.
#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <stdexcept>

#include "core/files.h"
#include "experiment/document.h"
#include "experiment/numbers.h"

namespace linden {

namespace {

std::string picture_file(const Picture& picture) { return fmt::format("figures/{}.{}", picture.stem, picture.kind == Picture::Kind::kSvg ? "svg" : "png"); }

std::string cell_text(const TableCell& cell, Display display) {
  const std::string text = escape_markdown(format_statistic(cell.value, display));
  return cell.marked ? "**" + text + "**" : text;
}

struct BlockToMarkdown {
  std::string operator()(const Heading& heading) const {
    return fmt::format("{} {}\n\n", std::string(static_cast<size_t>(heading.level), '#'), escape_markdown(heading.text));
  }
  std::string operator()(const Paragraph& paragraph) const { return escape_markdown(paragraph.text) + "\n\n"; }
  std::string operator()(const BulletList& list) const { return bullets(list.items); }
  std::string operator()(const Figure& figure) const {
    constexpr size_t kPerRow = 4;
    std::string text;
    for (size_t first = 0; first < figure.pictures.size(); first += kPerRow) {
      std::string labels = "|", rule = "|", pictures = "|";  // side by side: a table with one row of pictures
      for (size_t at = first; at < std::min(first + kPerRow, figure.pictures.size()); ++at) {
        const Picture& picture = figure.pictures[at];
        labels += fmt::format(" {} |", escape_markdown(picture.label));
        rule += " :-: |";
        pictures += fmt::format(" ![{}]({}) |", escape_markdown(picture.label.empty() ? picture.stem : picture.label), picture_file(picture));
      }
      text += labels + "\n" + rule + "\n" + pictures + "\n\n";
    }
    return text + escape_markdown(figure.caption) + "\n\n";
  }
  std::string operator()(const Table& table) const {
    std::string head = "|", rule = "|", body;
    for (const std::string& label : table.key_labels) head += fmt::format(" {} |", escape_markdown(label)), rule += " :-- |";
    for (const MetricInfo& column : table.columns) head += fmt::format(" {} |", escape_markdown(column.label)), rule += " --: |";
    for (const MetricInfo& column : table.published_columns) head += fmt::format(" *{}* |", escape_markdown(column.label)), rule += " --: |";
    for (const TableRow& row : table.rows) {
      body += "|";
      for (const std::string& key : row.keys) body += fmt::format(" {} |", escape_markdown(key.empty() ? "–" : key));
      for (size_t c = 0; c < row.cells.size(); ++c) body += fmt::format(" {} |", cell_text(row.cells[c], table.columns[c].display));
      for (size_t c = 0; c < row.published.size(); ++c)
        body += fmt::format(" *{}* |", escape_markdown(format_statistic(row.published[c], table.published_columns[c].display)));
      body += "\n";
    }
    return head + "\n" + rule + "\n" + body + "\n" + bullets(table.notes);
  }
  static std::string bullets(const std::vector<std::string>& items) {
    std::string text;
    for (const std::string& item : items) text += "- " + escape_markdown(item) + "\n";
    return text.empty() ? "" : text + "\n";
  }
};

}  // namespace

std::string escape_markdown(const std::string& text) {
  static const std::string kSpecial = "\\`*_|[]<>";
  std::string out;
  for (const char c : text) {
    if (c == '\n') {
      out += ' ';
      continue;
    }
    if (kSpecial.find(c) != std::string::npos) out += '\\';
    out += c;
  }
  return out;
}

std::string document_markdown(const Document& document) {
  std::string text = fmt::format("# {}\n\n", escape_markdown(document.title));
  if (!document.subtitle.empty()) text += escape_markdown(document.subtitle) + "\n\n";
  for (const Block& block : document.blocks) text += std::visit(BlockToMarkdown(), block);
  return text;
}

void write_pictures(const Document& document, const std::filesystem::path& folder) {
  std::set<std::string> written;
  for (const Block& block : document.blocks) {
    const Figure* figure = std::get_if<Figure>(&block);
    if (!figure) continue;
    for (const Picture& picture : figure->pictures) {
      const std::string name = picture_file(picture);
      if (!written.insert(name).second) throw std::logic_error("two pictures of the report are called " + name);
      std::filesystem::create_directories((folder / name).parent_path());
      write_file_atomically(folder / name, picture.bytes);
    }
  }
}

}  // namespace linden
