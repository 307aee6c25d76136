// The lines of an operator benchmark: what ran, how long it took, how far that is from the card's floor; and their formats.
#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "experiment/bench_cost.h"

namespace linden {

inline constexpr double kNotMeasured = std::numeric_limits<double>::quiet_NaN();

// Implementations: linden (the operator), libtorch (its expression in LibTorch's operators, eager), cudnn, flash, efficient, math
// (softmax back-ends); from a peer file torch eager and torch compiled.
struct BenchRow {
  std::string operation;  // linear_attention, softmax_attention, rms_norm_rotary, adaptive_layer_norm
  BenchShape shape;
  std::string map;    // feature map; empty where there is none
  std::string dtype;  // bfloat16 ...
  BenchPass pass = BenchPass::kForward;
  std::string implementation;
  Cost cost;
  double us = kNotMeasured, queued_us = kNotMeasured;  // bench_clock.h
  int64_t repeats = 0;
  double workspace_mb = kNotMeasured;
  double floor_us = kNotMeasured;
  double over_libtorch = kNotMeasured, over_compiled = kNotMeasured;  // their time / ours, of linden's rows: 2 is twice as fast
  std::string error;                                                  // why there is no time

  double gb_per_s() const { return cost.bytes / us * 1e-3; }
  double tflop_per_s() const { return cost.flop > 0 ? cost.flop / us * 1e-6 : kNotMeasured; }
  double share_of_floor() const { return floor_us / us; }  // 1: at the floor
};

// Whether two rows compute the same: all but the implementation and what was measured.
bool same_work(const BenchRow& a, const BenchRow& b);
// Sets over_libtorch and over_compiled of linden's rows from the rows that compute the same.
void set_speed_ups(std::vector<BenchRow>& rows);

std::string bench_text_header();
std::string bench_text_line(const BenchRow& row);  // aligned under the header
std::string bench_markdown(const std::vector<BenchRow>& rows);
std::string bench_csv(const std::vector<BenchRow>& rows);
// A list of objects; numbers that were not measured are null.
std::string bench_json(const std::vector<BenchRow>& rows);

// What torch's own program measured (scripts/bench/attention_torch.py): one JSON object a line.
struct PeerFile {
  std::vector<BenchRow> rows;        // without cost and floor
  std::vector<std::string> devices;  // cards named in it, each once
  std::vector<std::string> torch;    // versions named in it, each once
  std::vector<std::string> skipped;  // "line 7: no number \"us\""; lines that do not begin with '{' are not named
};
// InputError where there is no such file or not one line of it can be used.
PeerFile read_peer_file(const std::filesystem::path& file);

}  // namespace linden
