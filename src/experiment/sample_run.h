// One `linden sample` run: finished samples of a prior, unguided.
#pragma once

#include <cstdint>

#include "align/config.h"
#include "evaluate/clip_metrics.h"
#include "experiment/judge.h"
#include "core/run_config.h"
#include "core/run_directory.h"

namespace linden {

struct SampleConfig {
  RunConfig run;
  PriorConfig prior;
  PriorSamplerConfig sampler;
  ExecutorConfig executor;
  JudgeConfig judge;
  std::vector<std::string> captions;  // of a video prior
  std::string caption_file;
  ClipJudgeConfig clips;
  int64_t frame_ms = 150;
  int64_t num_samples = 64;
  int64_t batch_size = 64;
  int64_t grid_images = 256;
  double save_every_seconds = 300;
};
void visit_fields(FieldVisitor& v, SampleConfig& c);

struct SampleSummary {
  int64_t num_samples = 0, nfe = 0, network_calls = 0;
  double sampling_seconds = 0, nfe_per_second = 0;
  std::string judge;
  double confident_share = 0;        // share in which the judge gives some class at least 0.9
  double diversity = 0;              // mean pairwise cosine distance of the judge's features
  JudgedDistances frechet;           // with judge.reference
  std::vector<double> class_shares;  // what the judge reads
  bool has_clips = false;            // clips were measured
  ClipSummary clips;
};
void visit_fields(FieldVisitor& v, SampleSummary& c);

// Writes samples.h5, a contact sheet (or scatter plot) and summary.json. Sample i is stream (seed, i): a longer run
// begins with the same samples. Throws InputError, Interrupted (after saving what is finished).
void run_sample(SampleConfig config, const RunOptions& options);

}  // namespace linden
