// `linden bench sampler`: time of one denoising step by batch size, eager and as a CUDA graph.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "align/config.h"
#include "core/run_config.h"
#include "core/run_directory.h"

namespace linden {

struct BenchSamplerConfig {
  RunConfig run;
  PriorConfig prior;
  PriorSamplerConfig sampler;
  std::string float32 = "tf32";
  std::vector<int64_t> batch_sizes = {1, 8, 64, 256};
  int64_t steps = 50;  // timed steps a repeat
  int64_t repeats = 5;
};
void visit_fields(FieldVisitor& v, BenchSamplerConfig& c);

struct BenchSamplerSummary {
  std::string device;
  std::vector<int64_t> batch_sizes;
  std::vector<double> eager_ms, graph_ms;  // median over repeats of the time of a step; graph_ms empty on a CPU
};
void visit_fields(FieldVisitor& v, BenchSamplerSummary& c);

// Measures, prints a table, writes it as bench.csv and summary.json in the run directory.
void run_bench_sampler(BenchSamplerConfig config, const RunOptions& options);

}  // namespace linden
