// `linden bench dit`: one forward pass of the video transformer, by the number of its blocks that have linear attention: time, memory,
// FLOP/s, and where the time goes, each stage against the floor that this card's rates give it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/run_config.h"
#include "core/run_directory.h"
#include "experiment/bench_card.h"
#include "experiment/bench_dit_cost.h"
#include "models/video_dit_config.h"

namespace linden {

VideoDitConfig wan_1_3b();

// What --dry-run predicts with; defaults are an H100's.
struct PredictionRates {
  double copy_gb_per_s = 3000, gemm_tflop_per_s = 680, self_attention_tflop_per_s = 630, cross_attention_tflop_per_s = 450;
};
void visit_fields(FieldVisitor& v, PredictionRates& c);

struct BenchDitConfig {
  RunConfig run;
  VideoDitConfig model = wan_1_3b();
  std::string weights = "formula:1";
  std::vector<int64_t> linear_blocks = {0, 16};
  int64_t frames = 81, height = 480, width = 832;  // pixels of the video; latents are (frames - 1) / 4 + 1, height / 8, width / 8
  int64_t text_tokens = 512;
  int64_t batch = 1;
  std::string dtype = "bfloat16";
  int64_t repeats = 10;
  int64_t stage_passes = 3;
  int64_t copy_megabytes = 1000, gemm_size = 8192;
  std::string peer;  // JSON lines of scripts/bench/diffusers_wan.py
  PredictionRates predict;
};
void visit_fields(FieldVisitor& v, BenchDitConfig& c);

// Lists have one entry for each of `linear_blocks`.
struct BenchDitSummary {
  CardState card;
  int64_t tokens = 0;
  double copy_gb_per_s = 0, gemm_tflop_per_s = 0, self_attention_tflop_per_s = 0, cross_attention_tflop_per_s = 0;
  std::vector<int64_t> linear_blocks;
  std::vector<double> ms, peak_gb, predicted_peak_gb, tflop, tflop_per_s, floor_ms, share_of_floor, speed_up, over_compiled, stages_ms;
  std::vector<std::string> peer_modes;
  std::vector<double> peer_ms, peer_peak_gb;
};
void visit_fields(FieldVisitor& v, BenchDitSummary& c);

// A pass that diffusers' own network made (scripts/bench/diffusers_wan.py): one JSON object a line.
struct PeerPass {
  std::string mode;            // eager, compiled
  double ms = 0, peak_gb = 0;  // peak: NaN where it is not known
  int64_t tokens = 0, layers = 0;
  std::string dtype, device;
  int64_t batch = 0, text_tokens = 0, width = 0;  // 0: the line does not say
};
struct PeerPasses {
  std::vector<PeerPass> passes;
  std::vector<std::string> skipped;  // "line 7: no number \"ms\" above 0"
};
// InputError where there is no such file or not one line of it can be used.
PeerPasses read_peer_passes(const std::filesystem::path& file);

// Sizes of a pass with that many linear blocks. InputError where the video does not fit the patch or the model.
DitWork dit_work(const BenchDitConfig& config, int64_t linear_blocks);
// The config, and time by stage and memory as predicted: --dry-run.
std::string describe_bench_dit(const BenchDitConfig& config);
// Measures and prints; writes results.csv, stages.csv, table.md and summary.json in the run directory.
void run_bench_dit(BenchDitConfig config, const RunOptions& options);

}  // namespace linden
