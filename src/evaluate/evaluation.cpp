#include "evaluate/evaluation.h"

#include <fmt/ranges.h>
#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <optional>

#include "core/error.h"
#include "core/logging.h"
#include "core/progress.h"
#include "evaluate/distances.h"
#include "evaluate/sample_statistics.h"
#include "io/npz.h"
#include "models/image_classifier.h"
#include "models/model_folder.h"

namespace linden {

namespace {

namespace fs = std::filesystem;

const std::vector<std::string> kMetrics = {"frechet_distance", "kid",       "mmd_rbf",         "mmd_rbf_five", "precision_recall", "diversity",
                                           "duplicates",       "class_share", "confident_share", "accuracy",     "reward"};

// What was computed of one set, a batch at a time.
struct Embedded {
  at::Tensor features;   // [S, F] fp32
  at::Tensor logits;     // [S, K], undefined without a classifier
  Moments moments;
  int64_t num_duplicates = 0;
};

// Features by a classifier, or the numbers themselves.
class Embedder {
 public:
  Embedder(const std::string& folder, const SampleSet& samples, at::Device device) : device_(device) {
    if (folder.empty()) {
      name_ = samples.images() ? "pixel" : "coordinate";
      return;
    }
    check_input(samples.images(), "classifier: it reads images [S, C, Y, X], but the samples are [S, {}]; leave it empty", samples.shape()[0]);
    classifier_ = load_classifier(folder, device);
    name_ = model_class_name(folder);
  }
  const std::string& name() const { return name_; }
  bool has_classifier() const { return classifier_ != nullptr; }

  Embedded embed(const SampleSet& set, const std::string& what, int64_t batch_size, bool count_duplicates) const {
    const at::NoGradGuard no_grad;
    Embedded result;
    std::vector<at::Tensor> features, logits, raw;
    MomentsAccumulator accumulator;
    Progress progress("features of the " + what, set.size(), "sample");
    for (int64_t first = 0; first < set.size(); first += batch_size) {
      const at::Tensor batch = set.batch(first, std::min(batch_size, set.size() - first));
      check_input(batch.isfinite().all().item<bool>(), "{}: NaN or infinity between samples {} and {}", what, first, first + batch.size(0) - 1);
      const at::Tensor on_device = batch.to(device_);
      features.push_back((classifier_ ? classifier_->features(on_device) : batch.flatten(1)).cpu());
      if (classifier_) logits.push_back(classifier_->logits(on_device).cpu());
      if (count_duplicates) raw.push_back(batch.flatten(1));
      if (set.size() > 1) accumulator.add(features.back());
      progress.update(std::min(first + batch_size, set.size()));
      if (interrupt_requested()) throw Interrupted("stopped while features were computed; nothing was written");
    }
    result.features = at::cat(features);
    if (classifier_) result.logits = at::cat(logits);
    if (set.size() > 1) result.moments = accumulator.moments();
    if (count_duplicates) result.num_duplicates = linden::num_duplicates(at::cat(raw));
    return result;
  }

 private:
  std::shared_ptr<ImageClassifier> classifier_;
  std::string name_;
  at::Device device_;
};

bool asked(const EvaluateConfig& config, const std::string& metric) {
  return std::find(config.metrics.begin(), config.metrics.end(), metric) != config.metrics.end();
}

// Statistics in place of samples serve the Frechet distance alone.
std::optional<Moments> reference_statistics(const SampleSetConfig& config) {
  if (fs::path(config.path).extension() != ".npz") return std::nullopt;
  const NpzArrays arrays = read_npz(config.path);
  if (!arrays.contains("mu") || !arrays.contains("sigma")) return std::nullopt;
  return read_statistics(config.path);
}

// What `metric` needs and does not have; "" if nothing.
std::string missing_for(const std::string& metric, const EvaluateConfig& config, const SampleSet& samples, bool has_statistics) {
  const auto is_one_of = [&](const std::vector<std::string>& names) { return std::find(names.begin(), names.end(), metric) != names.end(); };
  if (is_one_of({"frechet_distance", "kid", "mmd_rbf", "mmd_rbf_five", "precision_recall"}) && config.reference.path.empty()) return "a reference (reference.path)";
  if (is_one_of({"kid", "mmd_rbf", "mmd_rbf_five", "precision_recall"}) && has_statistics) return "reference samples, and reference.path holds statistics only (mu, sigma)";
  if (is_one_of({"class_share", "confident_share", "accuracy"}) && config.classifier.empty()) return "a classifier (classifier)";
  if (metric == "class_share" && config.asked.empty()) return "the classes that were asked for (asked)";
  if (metric == "accuracy" && !samples.labels().defined()) return "labels beside the samples";
  if (metric == "reward" && !samples.rewards().defined()) return "an array \"reward\" beside the samples";
  return "";
}

// The metrics that are asked for and can be measured, or, where none is named, all that can be.
std::vector<std::string> settled_metrics(const EvaluateConfig& config, const SampleSet& samples, bool has_statistics) {
  std::vector<std::string> possible;
  for (const std::string& metric : kMetrics) {
    if (missing_for(metric, config, samples, has_statistics).empty()) possible.push_back(metric);
  }
  for (const std::string& metric : config.metrics) {
    if (std::find(kMetrics.begin(), kMetrics.end(), metric) == kMetrics.end()) {
      const std::string nearest = nearest_name(metric, kMetrics);
      throw ConfigError(fmt::format("metrics: unknown metric \"{}\"{}; there are: {}", metric, nearest.empty() ? "" : ", the nearest one is \"" + nearest + "\"",
                                    fmt::join(kMetrics, ", ")));
    }
    const std::string missing = missing_for(metric, config, samples, has_statistics);
    if (!missing.empty()) throw ConfigError(fmt::format("metrics: {} needs {}; give it, or leave the metric out", metric, missing));
  }
  return config.metrics.empty() ? possible : config.metrics;
}

void warn_if_few(int64_t count, int64_t num_features, const std::string& what) {
  if (count > num_features) return;
  log_warning("{}: {} samples for {} features: the covariance is singular, and the Frechet distance depends on the number of samples; "
              "compare at equal numbers only",
              what, count, num_features);
}

using Metrics = std::vector<std::pair<std::string, double>>;

void add_alone(Metrics& out, const EvaluateConfig& config, const SampleSet& samples, const Embedded& embedded) {
  if (asked(config, "diversity")) out.emplace_back("diversity", diversity(embedded.features));
  if (asked(config, "duplicates")) out.emplace_back("num_duplicates", embedded.num_duplicates);
  if (asked(config, "class_share")) out.emplace_back("class_share", class_share(embedded.logits, config.asked));
  if (asked(config, "confident_share")) out.emplace_back("confident_share", confident_share(embedded.logits, config.confidence));
  if (asked(config, "accuracy")) out.emplace_back("accuracy", accuracy(embedded.logits, samples.labels()));
  if (!asked(config, "reward")) return;
  const RewardStatistics rewards = reward_statistics(samples.rewards());
  out.emplace_back("reward_mean", rewards.mean);
  out.emplace_back("reward_deviation", rewards.deviation);
  out.emplace_back("reward_median", rewards.median);
  out.emplace_back("reward_minimum", rewards.minimum);
  out.emplace_back("reward_maximum", rewards.maximum);
}

void add_pairwise(Metrics& out, const EvaluateConfig& config, const Embedded& samples, const Embedded& reference) {
  const auto seed = static_cast<uint64_t>(config.run.seed);
  const auto cut = [&](const at::Tensor& rows) { return rows.narrow(0, 0, std::min(rows.size(0), config.max_pairs)); };
  const at::Tensor generated = cut(samples.features), real = cut(reference.features);
  if (asked(config, "kid")) {
    const KidEstimate estimate = kid(samples.features, reference.features, {config.kid_subsets, config.kid_subset_size, seed});
    out.emplace_back("kid", estimate.mean);
    out.emplace_back("kid_deviation", estimate.deviation);
  }
  if (asked(config, "mmd_rbf")) out.emplace_back("mmd_rbf", mmd_rbf(generated, real, config.sigma));
  if (asked(config, "mmd_rbf_five")) out.emplace_back("mmd_rbf_five", mmd_rbf_five(generated, real));
  if (asked(config, "precision_recall")) {
    const PrecisionRecall shares = precision_recall(real, generated, config.neighbours);
    out.emplace_back("precision", shares.precision);
    out.emplace_back("recall", shares.recall);
  }
}

}  // namespace

void visit_fields(FieldVisitor& v, EvaluateConfig& c) {
  visit_run_fields(v, c.run);
  visit(v, Field("samples", "the samples that are measured"), c.samples);
  visit(v, Field("reference", "what they are compared with; path may be an .npz with mu and sigma (pytorch-fid's statistics)"), c.reference);
  visit(v, Field("classifier", "model folder whose penultimate layer makes the features; empty: pixels or coordinates"), c.classifier);
  visit(v, Field("asked", "classes that the samples should be read as, for class_share"), c.asked);
  visit(v, Field("metrics", fmt::format("what is measured: {}; empty: all for which the config gives what they need", fmt::join(kMetrics, ", "))), c.metrics);
  visit(v, Field("batch_size", "samples in the network at once; no result depends on it beyond rounding").at_least(1), c.batch_size);
  visit(v, Field("kid_subsets", "random subsets of KID").at_least(1), c.kid_subsets);
  visit(v, Field("kid_subset_size", "samples of each subset").at_least(2), c.kid_subset_size);
  visit(v, Field("neighbours", "k of precision and recall").at_least(1), c.neighbours);
  visit(v, Field("sigma", "sigma of mmd_rbf's kernel exp(-d^2 / (2 sigma^2))").above(0), c.sigma);
  visit(v, Field("confidence", "probability from which a sample counts in confident_share").between(0, 1), c.confidence);
  visit(v, Field("max_pairs", "at most so many samples of each side in MMD, precision and recall").at_least(2), c.max_pairs);
  visit(v, Field("save_statistics", "file (.npz) for the samples' mu and sigma, pytorch-fid's layout; empty: none"), c.save_statistics);
}

double EvaluateSummary::metric(const std::string& name) const {
  for (const auto& [key, value] : metrics) {
    if (key == name) return value;
  }
  return std::numeric_limits<double>::quiet_NaN();
}

void visit_fields(FieldVisitor& v, EvaluateSummary& c) {
  visit(v, Field("samples", "what was measured"), c.samples);
  visit(v, Field("reference", "what it was compared with"), c.reference);
  visit(v, Field("features", "features that Frechet distance, KID, MMD, precision, recall and diversity stand on"), c.features);
  visit(v, Field("num_samples", "samples"), c.num_samples);
  visit(v, Field("num_reference", "reference samples; 0 where only statistics were given"), c.num_reference);
  visit(v, Field("num_features", "F"), c.num_features);
  v.begin_object(Field("metrics", "by name"));
  for (auto& [name, value] : c.metrics) visit(v, Field(name, ""), value);
  v.end_object();
}

Moments read_statistics(const fs::path& file) {
  const NpzArrays arrays = read_npz(file);
  check_input(arrays.contains("mu") && arrays.contains("sigma"), "{}: no statistics: wanted the arrays \"mu\" [F] and \"sigma\" [F, F]", file.string());
  const at::Tensor mean = arrays.at("mu").to(at::kDouble), covariance = arrays.at("sigma").to(at::kDouble);
  const bool fits = mean.dim() == 1 && covariance.dim() == 2 && covariance.size(0) == mean.size(0) && covariance.size(1) == mean.size(0);
  check_input(fits, "{}: \"mu\" is [{}] and \"sigma\" is [{}], wanted [F] and [F, F]", file.string(), fmt::join(mean.sizes(), ", "), fmt::join(covariance.sizes(), ", "));
  check_input(mean.isfinite().all().item<bool>() && covariance.isfinite().all().item<bool>(), "{}: the statistics hold NaN or infinity", file.string());
  return {2, mean, covariance};
}

void write_statistics(const fs::path& file, const Moments& moments) {
  write_npz(file, {{"mu", moments.mean}, {"sigma", moments.covariance}});
}

EvaluateSummary evaluate(EvaluateConfig config, at::Device device) {
  const SampleSet samples(config.samples);
  const std::optional<Moments> statistics = reference_statistics(config.reference);
  config.metrics = settled_metrics(config, samples, statistics.has_value());
  const Embedder embedder(config.classifier, samples, device);
  const Embedded embedded = embedder.embed(samples, "samples", config.batch_size, asked(config, "duplicates"));

  EvaluateSummary summary;
  summary.samples = config.samples.path;
  summary.reference = config.reference.path;
  summary.features = embedder.name();
  summary.num_samples = samples.size();
  summary.num_features = embedded.features.size(1);
  for (const int64_t label : config.asked) {
    if (!embedder.has_classifier() || (label >= 0 && label < embedded.logits.size(1))) continue;
    throw ConfigError(fmt::format("asked: class {}, but the classifier {} has the classes 0..{}", label, config.classifier, embedded.logits.size(1) - 1));
  }
  add_alone(summary.metrics, config, samples, embedded);
  if (!config.save_statistics.empty()) {
    check_input(samples.size() > 1, "save_statistics: a covariance needs at least 2 samples, got 1");
    write_statistics(config.save_statistics, embedded.moments);
  }
  if (config.reference.path.empty()) return summary;

  Embedded reference;
  if (statistics) {
    reference.moments = *statistics;
  } else {
    const SampleSet set(config.reference);
    check_input(set.shape() == samples.shape(), "the samples are [{}] each, the reference is [{}]: they must have one shape", fmt::join(samples.shape(), ", "),
                fmt::join(set.shape(), ", "));
    summary.num_reference = set.size();
    reference = embedder.embed(set, "reference", config.batch_size, false);
    add_pairwise(summary.metrics, config, embedded, reference);
    if (asked(config, "frechet_distance")) warn_if_few(set.size(), summary.num_features, "reference");
  }
  if (asked(config, "frechet_distance")) {
    check_input(samples.size() > 1, "metrics: frechet_distance needs at least 2 samples, got 1");
    check_input(reference.moments.mean.defined() && reference.moments.mean.size(0) == summary.num_features,
                "reference: its statistics have {} features, the samples have {} ({} features): they must be of one kind",
                reference.moments.mean.defined() ? reference.moments.mean.size(0) : 0, summary.num_features, summary.features);
    warn_if_few(samples.size(), summary.num_features, "samples");
    summary.metrics.emplace(summary.metrics.begin(), "frechet_distance", frechet_distance(reference.moments, embedded.moments));
  }
  return summary;
}

std::string describe_summary(const EvaluateSummary& summary) {
  static const std::vector<std::string> kOnFeatures = {"frechet_distance", "kid", "kid_deviation", "mmd_rbf", "mmd_rbf_five", "precision", "recall", "diversity"};
  std::string text = fmt::format("{} samples{}\n", summary.num_samples,
                                 summary.num_reference ? fmt::format(" against {} of {}", summary.num_reference, summary.reference) : "");
  for (const auto& [name, value] : summary.metrics) {
    const bool on_features = std::find(kOnFeatures.begin(), kOnFeatures.end(), name) != kOnFeatures.end();
    text += fmt::format("  {:<52} {:.6g}\n", on_features ? fmt::format("{}, {} features", name, summary.features) : name, value);
  }
  return text;
}

}  // namespace linden
