// The tables of a report for other programs: CSV and LaTeX.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>

#include "experiment/document.h"
#include "experiment/numbers.h"

namespace linden {

namespace {

std::vector<const Table*> tables_of(const Document& document) {
  std::vector<const Table*> tables;
  for (const Block& block : document.blocks) {
    if (const Table* table = std::get_if<Table>(&block)) tables.push_back(table);
  }
  return tables;
}

// Column names in order of first appearance, and cells by name.
class CsvBuilder {
 public:
  void start_row() { rows_.emplace_back(); }
  void set(const std::string& column, const std::string& text) {
    if (std::find(columns_.begin(), columns_.end(), column) == columns_.end()) columns_.push_back(column);
    rows_.back()[column] = text;
  }
  std::string text() const {
    std::string out = line(columns_);
    for (const auto& row : rows_) {
      std::vector<std::string> cells;
      for (const std::string& column : columns_) cells.push_back(row.contains(column) ? row.at(column) : "");
      out += line(cells);
    }
    return out;
  }

 private:
  static std::string line(const std::vector<std::string>& cells) {
    std::vector<std::string> quoted;
    for (const std::string& cell : cells) quoted.push_back(csv_cell(cell));
    return fmt::format("{}\n", fmt::join(quoted, ","));
  }
  std::vector<std::string> columns_;
  std::vector<std::map<std::string, std::string>> rows_;
};

// A config key that is also the name of a metric (nfe: asked for and spent) is told apart.
std::string csv_key(const Table& table, size_t index) {
  const std::string& key = table.key_columns[index];
  const bool taken = std::any_of(table.columns.begin(), table.columns.end(), [&](const MetricInfo& column) { return column.key == key; });
  return taken ? "config." + key : key;
}

void add_statistic(CsvBuilder& csv, const std::string& name, const Statistic& value) {
  csv.set(name, value.count ? fmt::format("{}", value.mean) : "");
  csv.set(name + " deviation", value.count ? fmt::format("{}", value.deviation) : "");
}

std::string latex_number(const std::string& text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    if (text.compare(at, 2, "±") == 0) {
      out += "$\\pm$";
      at += 2;
    } else if (text.compare(at, 3, "–") == 0) {
      out += "--";
      at += 3;
    } else if (text[at] == '-') {
      out += "$-$";
      ++at;
    } else {
      out += text[at] == '%' ? "\\%" : std::string(1, text[at]);
      ++at;
    }
  }
  return out;
}

std::string latex_row(const Table& table, const TableRow& row) {
  std::vector<std::string> cells;
  for (const std::string& key : row.keys) cells.push_back(key.empty() ? "--" : escape_latex(key));
  for (size_t c = 0; c < row.cells.size(); ++c) {
    const std::string number = latex_number(format_statistic(row.cells[c].value, table.columns[c].display));
    cells.push_back(row.cells[c].marked ? "\\textbf{" + number + "}" : number);
  }
  for (size_t c = 0; c < row.published.size(); ++c) {
    cells.push_back("\\textit{" + latex_number(format_statistic(row.published[c], table.published_columns[c].display)) + "}");
  }
  return fmt::format("{} \\\\\n", fmt::join(cells, " & "));
}

std::string latex_table(const Table& table) {
  std::vector<std::string> head;
  for (const std::string& label : table.key_labels) head.push_back(escape_latex(label));
  for (const MetricInfo& column : table.columns) {
    const char* arrow = column.better == Better::kHigher ? " $\\uparrow$" : column.better == Better::kLower ? " $\\downarrow$" : "";
    head.push_back(escape_latex(column.label) + arrow);
  }
  for (const MetricInfo& column : table.published_columns) head.push_back("\\textit{" + escape_latex(column.label) + "}");
  std::string alignment(table.key_labels.size(), 'l');
  alignment += std::string(table.columns.size(), 'r');
  if (!table.published_columns.empty()) alignment += "|" + std::string(table.published_columns.size(), 'r');
  std::string text = fmt::format("\\begin{{table}}\n\\centering\n\\caption{{{}}}\n\\begin{{tabular}}{{{}}}\n\\toprule\n{} \\\\\n\\midrule\n",
                                 escape_latex(fmt::format("{}{}{}", table.caption, table.notes.empty() ? "" : ". ", fmt::join(table.notes, " "))), alignment,
                                 fmt::join(head, " & "));
  for (const TableRow& row : table.rows) text += latex_row(table, row);
  return text + "\\bottomrule\n\\end{tabular}\n\\end{table}\n";
}

}  // namespace

std::string escape_latex(const std::string& text) {
  static const std::map<std::string, std::string> kSpecial = {{"\\", "\\textbackslash{}"},
                                                              {"&", "\\&"},
                                                              {"%", "\\%"},
                                                              {"$", "\\$"},
                                                              {"#", "\\#"},
                                                              {"_", "\\_"},
                                                              {"{", "\\{"},
                                                              {"}", "\\}"},
                                                              {"~", "\\textasciitilde{}"},
                                                              {"^", "\\textasciicircum{}"},
                                                              {"<", "$<$"},
                                                              {">", "$>$"},
                                                              {"±", "$\\pm$"},
                                                              {"–", "--"}};
  std::string out;
  for (size_t at = 0; at < text.size();) {
    // Whole UTF-8 characters: the leading byte tells the length.
    const auto lead = static_cast<unsigned char>(text[at]);
    const size_t length = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    const std::string character = text.substr(at, length);
    const auto special = kSpecial.find(character);
    out += special == kSpecial.end() ? character : special->second;
    at += length;
  }
  return out;
}

std::string tables_csv(const Document& document) {
  CsvBuilder csv;
  for (const Table* table : tables_of(document)) {
    for (const TableRow& row : table->rows) {
      csv.start_row();
      csv.set("section", table->caption);
      for (size_t k = 0; k < row.keys.size(); ++k) csv.set(csv_key(*table, k), row.runs.front()->text(table->key_columns[k]));
      csv.set("runs", fmt::format("{}", row.runs.size()));
      for (size_t c = 0; c < row.cells.size(); ++c) add_statistic(csv, table->columns[c].key, row.cells[c].value);
      for (size_t c = 0; c < row.published.size(); ++c) add_statistic(csv, table->published_columns[c].key + " published", row.published[c]);
    }
  }
  return csv.text();
}

std::string tables_latex(const Document& document) {
  std::string text = "% needs \\usepackage{booktabs}\n";
  for (const Table* table : tables_of(document)) text += "\n" + latex_table(*table);
  return text;
}

}  // namespace linden
