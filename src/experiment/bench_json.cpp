// The JSON side of bench_rows.h and bench_dit.h.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/error.h"
#include "core/files.h"
#include "experiment/bench_dit.h"
#include "experiment/bench_rows.h"

namespace linden {
namespace {

using nlohmann::json;

using ordered = nlohmann::ordered_json;  // keys stay in order

ordered number(double value) { return std::isfinite(value) ? ordered(value) : ordered(nullptr); }

std::string text_of(const json& line, const char* key) {
  check_input(line.contains(key) && line[key].is_string(), "no text \"{}\"", key);
  return line[key].get<std::string>();
}

double positive_number(const json& line, const char* key) {
  check_input(line.contains(key) && line[key].is_number() && line[key].get<double>() > 0, "no number \"{}\" above 0", key);
  return line[key].get<double>();
}

void check_no_error(const json& line, const std::string& what) {
  const auto error = line.find("error");
  if (error != line.end()) throw InputError(fmt::format("{}: it failed there: {}", what, error->dump()));
}

void add_once(std::vector<std::string>& names, const std::string& name) {
  if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
}

std::string implementation_of(const std::string& mode) {
  check_input(mode == "eager" || mode == "compiled", "mode is \"{}\", wanted eager or compiled", mode);
  return "torch " + mode;
}

BenchShape shape_of(const json& line) {
  const auto found = line.find("shape");
  const bool good = found != line.end() && found->is_array() && found->size() == 4 &&
                    std::all_of(found->begin(), found->end(), [](const json& n) { return n.is_number_integer() && n.get<int64_t>() >= 1; });
  check_input(good, "no \"shape\" of four numbers");
  return {(*found)[0].get<int64_t>(), (*found)[1].get<int64_t>(), (*found)[2].get<int64_t>(), (*found)[3].get<int64_t>()};
}

// Throws InputError with what is wrong with the line.
BenchRow row_of(const json& line) {
  check_input(line.is_object(), "no object");
  BenchRow row;
  row.operation = text_of(line, "what");
  row.shape = shape_of(line);
  row.map = line.contains("map") && line["map"].is_string() ? line["map"].get<std::string>() : "";
  row.dtype = text_of(line, "dtype");
  row.implementation = implementation_of(text_of(line, "mode"));
  check_no_error(line, fmt::format("{} {} {}", row.implementation, row.operation, row.map));
  const std::string pass = text_of(line, "pass");
  check_input(pass == "forward" || pass == "backward", "pass is \"{}\", wanted forward or backward", pass);
  row.pass = pass == "forward" ? BenchPass::kForward : BenchPass::kBackward;
  row.us = positive_number(line, "us");
  return row;
}

PeerPass pass_of(const json& line) {
  check_input(line.is_object(), "no object");
  check_input(text_of(line, "what") == "wan_forward", "what is \"{}\", wanted wan_forward", text_of(line, "what"));
  const std::string mode = text_of(line, "mode");
  check_no_error(line, mode);
  const auto count = [&](const char* key) { return static_cast<int64_t>(positive_number(line, key)); };
  const bool has_peak = line.contains("peak_gb") && line["peak_gb"].is_number();
  const auto count_or_0 = [&](const char* key) { return line.contains(key) ? count(key) : 0; };
  return {mode,
          positive_number(line, "ms"),
          has_peak ? line["peak_gb"].get<double>() : kNotMeasured,
          count("tokens"),
          count("layers"),
          text_of(line, "dtype"),
          text_of(line, "device"),
          count_or_0("batch"),
          count_or_0("text_tokens"),
          count_or_0("width")};
}

// Calls `take` with every line that begins with '{'; what compilers print between the results is passed over. Returns what `take`
// refused (InputError), by line.
template <class Take>
std::vector<std::string> read_lines(const std::filesystem::path& file, const Take& take) {
  std::vector<std::string> skipped;
  std::istringstream text(read_text_file(file));
  std::string line;
  for (int64_t number = 1; std::getline(text, line); ++number) {
    if (line.empty() || line.front() != '{') continue;
    const json parsed = json::parse(line, nullptr, false);
    try {
      check_input(!parsed.is_discarded(), "no JSON: \"{}\"", line.substr(0, 40));
      take(parsed);
    } catch (const InputError& error) { skipped.push_back(fmt::format("line {}: {}", number, error.what())); }
  }
  return skipped;
}

void check_some(bool some, const std::filesystem::path& file, const char* program, const std::vector<std::string>& skipped) {
  check_input(some, "{}: not one usable line, wanted the output of {}{}", file.string(), program, skipped.empty() ? "" : "; " + skipped.front());
}

}  // namespace

std::string bench_json(const std::vector<BenchRow>& rows) {
  ordered list = ordered::array();
  for (const BenchRow& r : rows) {
    ordered item = {{"operation", r.operation},
                    {"shape", r.shape.sizes()},
                    {"map", r.map},
                    {"dtype", r.dtype},
                    {"pass", name_of(r.pass)},
                    {"implementation", r.implementation},
                    {"us", number(r.us)},
                    {"queued_us", number(r.queued_us)},
                    {"repeats", r.repeats},
                    {"bytes", r.cost.bytes},
                    {"flop", r.cost.flop},
                    {"gb_per_s", number(r.gb_per_s())},
                    {"tflop_per_s", number(r.tflop_per_s())},
                    {"floor_us", number(r.floor_us)},
                    {"share_of_floor", number(r.share_of_floor())},
                    {"workspace_mb", number(r.workspace_mb)},
                    {"over_libtorch", number(r.over_libtorch)},
                    {"over_compiled", number(r.over_compiled)}};
    if (!r.error.empty()) item["error"] = r.error;
    list.push_back(item);
  }
  return list.dump(2, ' ', false, ordered::error_handler_t::replace);
}

PeerFile read_peer_file(const std::filesystem::path& file) {
  PeerFile peer;
  peer.skipped = read_lines(file, [&](const json& line) {
    peer.rows.push_back(row_of(line));
    if (line.contains("device") && line["device"].is_string()) add_once(peer.devices, line["device"].get<std::string>());
    if (line.contains("torch") && line["torch"].is_string()) add_once(peer.torch, line["torch"].get<std::string>());
  });
  check_some(!peer.rows.empty(), file, "scripts/bench/attention_torch.py", peer.skipped);
  return peer;
}

PeerPasses read_peer_passes(const std::filesystem::path& file) {
  PeerPasses peer;
  peer.skipped = read_lines(file, [&](const json& line) { peer.passes.push_back(pass_of(line)); });
  check_some(!peer.passes.empty(), file, "scripts/bench/diffusers_wan.py", peer.skipped);
  return peer;
}

}  // namespace linden
