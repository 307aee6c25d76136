// The JSON side of bench_rows.h.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/error.h"
#include "core/run_directory.h"
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
  check_input(!line.contains("error"), "{} {} {}: it failed there: {}", row.implementation, row.operation, row.map, line["error"].dump());
  const std::string pass = text_of(line, "pass");
  check_input(pass == "forward" || pass == "backward", "pass is \"{}\", wanted forward or backward", pass);
  row.pass = pass == "forward" ? BenchPass::kForward : BenchPass::kBackward;
  check_input(line.contains("us") && line["us"].is_number() && line["us"].get<double>() > 0, "no number \"us\" above 0");
  row.us = line["us"].get<double>();
  return row;
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
  std::istringstream text(read_text_file(file));
  std::string line;
  for (int64_t number = 1; std::getline(text, line); ++number) {
    if (line.empty() || line.front() != '{') continue;  // what compilers print between the results
    const json parsed = json::parse(line, nullptr, false);
    try {
      check_input(!parsed.is_discarded(), "no JSON: \"{}\"", line.substr(0, 40));
      peer.rows.push_back(row_of(parsed));
      if (parsed.contains("device") && parsed["device"].is_string()) add_once(peer.devices, parsed["device"].get<std::string>());
      if (parsed.contains("torch") && parsed["torch"].is_string()) add_once(peer.torch, parsed["torch"].get<std::string>());
    } catch (const InputError& error) {
      peer.skipped.push_back(fmt::format("line {}: {}", number, error.what()));
    }
  }
  check_input(!peer.rows.empty(), "{}: not one usable line, wanted the output of scripts/bench/attention_torch.py{}", file.string(),
              peer.skipped.empty() ? "" : "; " + peer.skipped.front());
  return peer;
}

}  // namespace linden
