#include "experiment/bench_rows.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "experiment/numbers.h"

namespace linden {
namespace {

std::string shape_text(const BenchShape& shape) { return fmt::format("{}", fmt::join(shape.sizes(), ",")); }

std::string number(double value, int digits) { return std::isnan(value) ? "" : fmt::format("{:.{}f}", value, digits); }
std::string microseconds(double us) { return number(us, us < 100 ? 1 : 0); }

struct Column {
  std::string title;
  int width;  // in the text table; negative: to the left
  std::string (*cell)(const BenchRow& row);
};

const std::vector<Column>& columns() {
  static const std::vector<Column> all = {
      {"operation", -20, [](const BenchRow& r) { return r.operation; }},
      {"B,N,H,D", -17, [](const BenchRow& r) { return shape_text(r.shape); }},
      {"map", -13, [](const BenchRow& r) { return r.map; }},
      {"pass", -9, [](const BenchRow& r) { return std::string(name_of(r.pass)); }},
      {"by", -15, [](const BenchRow& r) { return r.implementation; }},
      {"us", 9, [](const BenchRow& r) { return microseconds(r.us); }},
      {"queued us", 10, [](const BenchRow& r) { return microseconds(r.queued_us); }},
      {"GB/s", 7, [](const BenchRow& r) { return number(r.gb_per_s(), 0); }},
      {"TFLOP/s", 8, [](const BenchRow& r) { return number(r.tflop_per_s(), 1); }},
      {"floor us", 9, [](const BenchRow& r) { return microseconds(r.floor_us); }},
      {"% of floor", 11, [](const BenchRow& r) { return number(100 * r.share_of_floor(), 1); }},
      {"workspace MB", 13, [](const BenchRow& r) { return number(r.workspace_mb, 1); }},
      {"x libtorch", 11, [](const BenchRow& r) { return number(r.over_libtorch, 2); }},
      {"x compiled", 11, [](const BenchRow& r) { return number(r.over_compiled, 2); }},
  };
  return all;
}
constexpr size_t kNumKeys = 5;  // columns before the first number

std::string padded(const std::string& text, int width) { return width < 0 ? fmt::format("{:<{}}", text, -width) : fmt::format("{:>{}}", text, width); }

std::string csv_number(double value) { return std::isnan(value) ? "" : fmt::format("{:.6g}", value); }

}  // namespace

bool same_work(const BenchRow& a, const BenchRow& b) {
  return a.operation == b.operation && a.shape.sizes() == b.shape.sizes() && a.map == b.map && a.dtype == b.dtype && a.pass == b.pass;
}

void set_speed_ups(std::vector<BenchRow>& rows) {
  for (BenchRow& row : rows) {
    if (row.implementation != "linden") continue;
    for (const BenchRow& other : rows) {
      if (!same_work(row, other)) continue;
      if (other.implementation == "libtorch") row.over_libtorch = other.us / row.us;
      if (other.implementation == "torch compiled") row.over_compiled = other.us / row.us;
    }
  }
}

std::string bench_text_header() {
  std::string line;
  for (const Column& column : columns()) line += padded(column.title, column.width);
  return line;
}

std::string bench_text_line(const BenchRow& row) {
  std::string line;
  for (size_t c = 0; c < columns().size(); ++c) {
    if (c == kNumKeys && !row.error.empty()) return line + "  " + row.error;
    line += padded(columns()[c].cell(row), columns()[c].width);
  }
  return line;
}

std::string bench_markdown(const std::vector<BenchRow>& rows) {
  std::string text = "|", rule = "|";
  for (const Column& column : columns()) {
    text += " " + column.title + " |";
    rule += column.width < 0 ? " --- |" : " ---: |";
  }
  text += "\n" + rule + "\n";
  for (const BenchRow& row : rows) {
    text += "|";
    for (size_t c = 0; c < columns().size(); ++c) {
      std::string cell = c == kNumKeys && !row.error.empty() ? row.error : columns()[c].cell(row);
      std::replace(cell.begin(), cell.end(), '|', '/');
      text += " " + cell + " |";
    }
    text += "\n";
  }
  return text;
}

std::string bench_csv(const std::vector<BenchRow>& rows) {
  std::string text =
      "operation,batch,tokens,heads,head_dim,map,dtype,pass,implementation,us,queued_us,repeats,bytes,flop,gb_per_s,tflop_per_s,"
      "floor_us,share_of_floor,workspace_mb,over_libtorch,over_compiled,error\n";
  for (const BenchRow& r : rows) {
    text += fmt::format("{},{},{},{},{},{},", r.operation, shape_text(r.shape), r.map, r.dtype, name_of(r.pass), r.implementation);
    text += csv_number(r.us) + "," + csv_number(r.queued_us) + fmt::format(",{},", r.repeats);
    std::vector<std::string> numbers;
    for (const double value :
         {r.cost.bytes, r.cost.flop, r.gb_per_s(), r.tflop_per_s(), r.floor_us, r.share_of_floor(), r.workspace_mb, r.over_libtorch, r.over_compiled})
      numbers.push_back(csv_number(value));
    text += fmt::format("{},{}\n", fmt::join(numbers, ","), csv_cell(r.error));
  }
  return text;
}

}  // namespace linden
