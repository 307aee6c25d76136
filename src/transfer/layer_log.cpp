#include "transfer/layer_log.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "core/error.h"
#include "core/files.h"

namespace linden {
namespace {

namespace fs = std::filesystem;

constexpr const char* kLayerHeader = "step,layer,r,grad_matching,grad_constraint,grad_regulariser";
constexpr const char* kBinHeader = "step,sigma_low,sigma_high,velocity_error,count";
constexpr const char* kMessageHeader = "step,level,text";

// Whole lines only: what stands behind the last newline was cut by a kill.
std::vector<std::string> whole_lines(const std::string& text) {
  std::vector<std::string> lines;
  for (size_t begin = 0, end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) lines.push_back(text.substr(begin, end - begin));
  return lines;
}

// Cells of one line; in quotes a comma is text and "" a quote (RFC 4180).
std::vector<std::string> cells_of(const std::string& line) {
  std::vector<std::string> cells(1);
  bool quoted = false;
  for (size_t i = 0; i < line.size(); ++i) {
    if (quoted && line[i] == '"' && i + 1 < line.size() && line[i + 1] == '"') cells.back() += line[++i];
    else if (line[i] == '"') quoted = !quoted;
    else if (line[i] == ',' && !quoted) cells.emplace_back();
    else cells.back() += line[i];
  }
  return cells;
}

// One line of a file on its way into a row; a cell that is no number names the line.
class RowReader {
 public:
  RowReader(const fs::path& file, size_t line, std::vector<std::string> cells) : file_(file), line_(line), cells_(std::move(cells)) {}
  const std::string& text() { return cells_[next_++]; }
  int64_t integer() {
    const std::string& cell = text();
    int64_t value = 0;
    const auto [end, error] = std::from_chars(cell.data(), cell.data() + cell.size(), value);
    if (error != std::errc() || end != cell.data() + cell.size()) fail(cell, "a whole number");
    return value;
  }
  double number() {
    const std::string& cell = text();
    char* end = nullptr;
    const double value = std::strtod(cell.c_str(), &end);
    if (cell.empty() || *end != '\0') fail(cell, "a number");
    return value;
  }

 private:
  [[noreturn]] void fail(const std::string& cell, const char* wanted) const {
    throw InputError(fmt::format("{}: line {}: \"{}\" in column {}, wanted {}; take that line out", file_.string(), line_, cell, next_, wanted));
  }
  const fs::path& file_;
  size_t line_, next_ = 0;
  std::vector<std::string> cells_;
};

template <class Row, class Parse>
std::vector<Row> read_rows(const fs::path& file, const std::string& header, Parse&& parse) {
  const std::vector<std::string> lines = whole_lines(read_text_file(file));
  const size_t columns = cells_of(header).size();
  std::vector<Row> rows;
  check_input(lines.empty() || lines[0] == header, "{}: starts with \"{}\", wanted the columns \"{}\"", file.string(), lines.empty() ? "" : lines[0], header);
  for (size_t i = 1; i < lines.size(); ++i) {
    std::vector<std::string> cells = cells_of(lines[i]);
    check_input(cells.size() == columns, "{}: line {} has {} cells, wanted {}; take that line out", file.string(), i + 1, cells.size(), columns);
    RowReader reader(file, i + 1, std::move(cells));
    rows.push_back(parse(reader));
  }
  return rows;
}

}  // namespace

StepRows::StepRows(fs::path file, std::string header) : file_(std::move(file)), header_(std::move(header)) { rewrite(std::numeric_limits<int64_t>::max()); }

// Leaves a file alone that would stay as it is.
void StepRows::rewrite(int64_t last_step) {
  const std::string old = fs::exists(file_) ? read_text_file(file_) : "";
  const std::vector<std::string> lines = whole_lines(old);
  check_input(lines.empty() || lines[0] == header_, "{}: starts with \"{}\", but this run writes \"{}\"; move the file away", file_.string(),
              lines.empty() ? "" : lines[0], header_);
  std::string kept = header_ + "\n";
  for (size_t i = 1; i < lines.size(); ++i)
    if (std::strtoll(lines[i].c_str(), nullptr, 10) <= last_step) kept += lines[i] + "\n";
  if (out_.is_open()) out_.close();
  if (kept != old) write_file_atomically(file_, kept);
  out_.clear();
  errno = 0;
  out_.open(file_, std::ios::app);
  if (!out_) throw std::runtime_error(fmt::format("{}: cannot open it for appending: {}", file_.string(), std::strerror(errno)));
}

void StepRows::append(const std::string& lines) {
  errno = 0;
  out_ << lines << std::flush;
  if (!out_) throw std::runtime_error(fmt::format("{}: cannot append a row: {}", file_.string(), std::strerror(errno)));
}

void StepRows::cut_after(int64_t step) { rewrite(step); }

LayerLog::LayerLog(const fs::path& run_folder)
    : layers_(run_folder / "layers.csv", kLayerHeader),
      bins_(run_folder / "bins.csv", kBinHeader),
      messages_(run_folder / "messages.csv", kMessageHeader) {}

void LayerLog::layers(const std::vector<LayerRow>& rows) {
  std::string lines;
  for (const LayerRow& row : rows)
    lines += fmt::format("{},{},{},{},{},{}\n", row.step, row.layer, row.r, row.grad_matching, row.grad_constraint, row.grad_regulariser);
  layers_.append(lines);
}

void LayerLog::bins(int64_t step, const SigmaBins& bins) {
  std::string lines;
  for (size_t k = 0; k < bins.mean.size(); ++k) lines += fmt::format("{},{},{},{},{}\n", step, bins.low[k], bins.high[k], bins.mean[k], bins.count[k]);
  bins_.append(lines);
}

void LayerLog::message(int64_t step, const std::string& level, const std::string& text) {
  std::string quoted;
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c == '\n' || c == '\r' ? ' ' : c);
  messages_.append(fmt::format("{},{},\"{}\"\n", step, level, quoted));
}

void LayerLog::cut_after(int64_t step) {
  layers_.cut_after(step);
  bins_.cut_after(step);
  messages_.cut_after(step);
}

std::vector<LayerRow> read_layer_rows(const fs::path& file) {
  return read_rows<LayerRow>(file, kLayerHeader, [](RowReader& in) {
    return LayerRow{in.integer(), in.integer(), in.number(), in.number(), in.number(), in.number()};  // braces: from left to right
  });
}

std::vector<BinRow> read_bin_rows(const fs::path& file) {
  return read_rows<BinRow>(file, kBinHeader, [](RowReader& in) { return BinRow{in.integer(), in.number(), in.number(), in.number(), in.integer()}; });
}

std::vector<MessageRow> read_message_rows(const fs::path& file) {
  return read_rows<MessageRow>(file, kMessageHeader, [](RowReader& in) { return MessageRow{in.integer(), in.text(), in.text()}; });
}

}  // namespace linden
