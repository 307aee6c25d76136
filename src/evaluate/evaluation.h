// What `linden evaluate` measures: one sample set, alone and against a reference.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "core/config.h"
#include "core/run_config.h"
#include "evaluate/clip_metrics.h"
#include "evaluate/features.h"
#include "evaluate/sample_set.h"

namespace linden {

struct EvaluateConfig {
  RunConfig run;
  SampleSetConfig samples;
  SampleSetConfig reference;  // path may be an .npz of pytorch-fid statistics (mu, sigma)
  std::string classifier;     // model folder: reads classes, and makes the features unless `features` says otherwise
  FeaturesConfig features;
  std::vector<int64_t> asked;        // classes that the samples should be read as
  std::vector<std::string> metrics;  // empty: all for which the config gives what they need
  int64_t batch_size = 256;
  int64_t kid_subsets = 100, kid_subset_size = 1000;
  int64_t neighbours = 3;       // k of precision and recall
  double sigma = 10;            // of mmd_rbf
  double confidence = 0.9;      // threshold of confident_share
  int64_t max_pairs = 10000;    // samples of each side in metrics over pairs (MMD, precision, recall)
  ClipJudgeConfig clips;        // with a judge: the samples are moving-digits clips, and this alone is measured
  std::string save_statistics;  // writes the samples' mu and sigma there, pytorch-fid's layout
};
void visit_fields(FieldVisitor& v, EvaluateConfig& c);

struct EvaluateSummary {
  std::string samples, reference;
  std::string features;    // "Inception 2048 (weights.safetensors)", "DigitJudge", "pixel", "coordinate"
  std::string classifier;  // "DigitJudge": who read the classes; "" without one
  int64_t num_samples = 0, num_reference = 0, num_features = 0;
  std::vector<std::pair<std::string, double>> metrics;
  std::vector<std::pair<std::string, std::string>> not_measured;  // metric, why: it was to be measured and these samples do not allow it
  double metric(const std::string& name) const;                   // NaN if it was not measured
};
void visit_fields(FieldVisitor& v, EvaluateSummary& c);

// Logs a warning where there are fewer samples than features (the covariance is singular and the Frechet distance
// depends on the count). InputError: a metric that needs a reference, a classifier, asked classes, labels or rewards
// which are missing, sets of different shape, statistics of other features, NaN in samples or features. A metric that these
// samples do not allow (too few of them) is a warning and stands in not_measured; the others are kept. InputError where none is left.
EvaluateSummary evaluate(EvaluateConfig config, at::Device device);

// The metrics as lines for people: the features are named in every line that stands on them.
std::string describe_summary(const EvaluateSummary& summary);

}  // namespace linden
