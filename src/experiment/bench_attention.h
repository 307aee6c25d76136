// `linden bench attention`: time, rate and share of the card's floor of linden's attention and norms, forward and backward, beside
// LibTorch's own expressions, the back-ends of softmax attention and what torch.compile measured on the same card.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/run_config.h"
#include "core/run_directory.h"
#include "experiment/bench_card.h"
#include "experiment/bench_rows.h"

namespace linden {

struct BenchAttentionConfig {
  RunConfig run;
  std::vector<std::string> shapes = {"1,32760,12,128", "1,75600,40,128", "2,4096,16,64", "1,1560,12,128"};
  std::vector<std::string> norm_shapes = {"1,32760,12,128"};
  std::vector<std::string> feature_maps = {"hedgehog", "softmax", "elu_plus_one", "relu", "exp", "taylor2"};
  std::vector<std::string> softmax_backends = {"cudnn", "flash", "efficient", "math"};
  std::vector<std::string> passes = {"forward", "backward"};
  bool libtorch = true;  // LibTorch's expressions, too
  std::string dtype = "bfloat16";
  int64_t repeats = 50;
  int64_t copy_megabytes = 1000;
  int64_t gemm_size = 8192;
  std::string peer;  // JSON lines of scripts/bench/attention_torch.py
};
void visit_fields(FieldVisitor& v, BenchAttentionConfig& c);

struct BenchAttentionSummary {
  CardState card;
  double copy_gb_per_s = 0, gemm_tflop_per_s = 0;
  std::vector<std::string> peer_devices, peer_torch;  // what the peer file names
  int64_t rows = 0, rows_failed = 0;
};
void visit_fields(FieldVisitor& v, BenchAttentionSummary& c);

// The lines that would be measured, with bytes and FLOP. InputError: a shape, map, back-end, pass or dtype that there is not.
std::vector<BenchRow> plan_bench_attention(const BenchAttentionConfig& config);
// The config and the plan as text: --dry-run.
std::string describe_bench_attention(const BenchAttentionConfig& config);
// Measures, prints each line as it comes, writes results.csv, results.json and table.md in the run directory.
void run_bench_attention(BenchAttentionConfig config, const RunOptions& options);

}  // namespace linden
