#include "evaluate/evaluation.h"

#include <fmt/ranges.h>
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "core/error.h"
#include "core/logging.h"
#include "evaluate/distances.h"
#include "evaluate/sample_statistics.h"
#include "evaluate/statistics_file.h"

namespace linden {

namespace {

const std::vector<std::string> kMetrics = {"frechet_distance", "kid",        "mmd_rbf",     "mmd_rbf_five",    "cmmd",     "precision_recall",
                                           "diversity",        "duplicates", "class_share", "confident_share", "accuracy", "reward"};

bool asked(const EvaluateConfig& config, const std::string& metric) {
  return std::find(config.metrics.begin(), config.metrics.end(), metric) != config.metrics.end();
}

// What `metric` needs and does not have; "" if nothing.
std::string missing_for(const std::string& metric, const EvaluateConfig& config, const SampleSet& samples, bool has_statistics) {
  const auto is_one_of = [&](const std::vector<std::string>& names) { return std::find(names.begin(), names.end(), metric) != names.end(); };
  if (is_one_of({"frechet_distance", "kid", "mmd_rbf", "mmd_rbf_five", "cmmd", "precision_recall"}) && config.reference.path.empty())
    return "a reference (reference.path)";
  if (is_one_of({"kid", "mmd_rbf", "mmd_rbf_five", "cmmd", "precision_recall"}) && has_statistics)
    return "reference samples, and reference.path holds statistics only (mu, sigma)";
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
      throw ConfigError(fmt::format("metrics: unknown metric \"{}\"{}; there are: {}", metric,
                                    nearest.empty() ? "" : ", the nearest one is \"" + nearest + "\"", fmt::join(kMetrics, ", ")));
    }
    const std::string missing = missing_for(metric, config, samples, has_statistics);
    if (!missing.empty()) throw ConfigError(fmt::format("metrics: {} needs {}; give it, or leave the metric out", metric, missing));
  }
  return config.metrics.empty() ? possible : config.metrics;
}

void warn_if_few(int64_t count, int64_t num_features, const std::string& what) {
  if (count > num_features) return;
  log_warning(
      "{}: {} samples for {} features: the covariance is singular, and the Frechet distance depends on the number of samples; "
      "compare at equal numbers only",
      what, count, num_features);
}

using Metrics = std::vector<std::pair<std::string, double>>;

// Measures one metric after another. One that fails is written down; the others go on.
class Measurement {
 public:
  Measurement(const EvaluateConfig& config, EvaluateSummary& summary) : config_(config), summary_(summary) {}

  // measure(out) adds the metric's numbers.
  template <class Measure>
  void add(const std::string& metric, const Measure& measure) {
    if (!asked(config_, metric)) return;
    Metrics numbers;
    try {
      measure(numbers);
    } catch (const InputError& error) {
      log_warning("{} is not measured: {}", metric, error.what());
      summary_.not_measured.emplace_back(metric, error.what());
      return;
    }
    summary_.metrics.insert(summary_.metrics.end(), numbers.begin(), numbers.end());
  }

 private:
  const EvaluateConfig& config_;
  EvaluateSummary& summary_;
};

void add_alone(Measurement& measurement, const EvaluateConfig& config, const SampleSet& samples, const Embedded& embedded) {
  measurement.add("diversity", [&](Metrics& out) { out.emplace_back("diversity", diversity(embedded.rows)); });
  measurement.add("duplicates", [&](Metrics& out) { out.emplace_back("num_duplicates", embedded.num_duplicates); });
  measurement.add("class_share", [&](Metrics& out) { out.emplace_back("class_share", class_share(embedded.logits, config.asked)); });
  measurement.add("confident_share", [&](Metrics& out) { out.emplace_back("confident_share", confident_share(embedded.logits, config.confidence)); });
  measurement.add("accuracy", [&](Metrics& out) { out.emplace_back("accuracy", accuracy(embedded.logits, samples.labels())); });
  measurement.add("reward", [&](Metrics& out) {
    const RewardStatistics rewards = reward_statistics(samples.rewards());
    out.emplace_back("reward_mean", rewards.mean);
    out.emplace_back("reward_deviation", rewards.deviation);
    out.emplace_back("reward_median", rewards.median);
    out.emplace_back("reward_minimum", rewards.minimum);
    out.emplace_back("reward_maximum", rewards.maximum);
  });
}

void add_pairwise(Measurement& measurement, const EvaluateConfig& config, const Embedded& samples, const Embedded& reference) {
  const auto seed = static_cast<uint64_t>(config.run.seed);
  const auto cut = [&](const at::Tensor& rows) { return rows.narrow(0, 0, std::min(rows.size(0), config.max_pairs)); };
  const at::Tensor generated = cut(samples.rows), real = cut(reference.rows);
  measurement.add("kid", [&](Metrics& out) {
    const KidEstimate estimate = kid(samples.rows, reference.rows, {config.kid_subsets, config.kid_subset_size, seed});
    out.emplace_back("kid", estimate.mean);
    out.emplace_back("kid_deviation", estimate.deviation);
  });
  measurement.add("mmd_rbf", [&](Metrics& out) { out.emplace_back("mmd_rbf", mmd_rbf(generated, real, config.sigma)); });
  measurement.add("mmd_rbf_five", [&](Metrics& out) { out.emplace_back("mmd_rbf_five", mmd_rbf_five(generated, real)); });
  measurement.add("cmmd", [&](Metrics& out) { out.emplace_back("cmmd", cmmd(generated, real)); });
  measurement.add("precision_recall", [&](Metrics& out) {
    const PrecisionRecall shares = precision_recall(real, generated, config.neighbours);
    out.emplace_back("precision", shares.precision);
    out.emplace_back("recall", shares.recall);
  });
}

}  // namespace

void visit_fields(FieldVisitor& v, EvaluateConfig& c) {
  visit_run_fields(v, c.run);
  visit(v, Field("samples", "the samples that are measured"), c.samples);
  visit(v, Field("reference", "what they are compared with; path may be an .npz with mu and sigma (pytorch-fid's statistics)"), c.reference);
  visit(v,
        Field("classifier",
              "model folder, or weights file, that reads the classes; its penultimate layer makes the features unless features.type says otherwise"),
        c.classifier);
  visit(
      v,
      Field("features",
            "what metrics stand on: the classifier's penultimate layer (without a classifier the samples' own numbers), the FID Inception, or the own numbers"),
      c.features);
  visit(v, Field("asked", "classes that the samples should be read as, for class_share"), c.asked);
  visit(v, Field("metrics", fmt::format("what is measured: {}; empty: all for which the config gives what they need", fmt::join(kMetrics, ", "))), c.metrics);
  visit(v, Field("batch_size", "samples in the network at once; no result depends on it beyond rounding").at_least(1), c.batch_size);
  visit(v, Field("kid_subsets", "random subsets of KID").at_least(1), c.kid_subsets);
  visit(v, Field("kid_subset_size", "samples of each subset").at_least(2), c.kid_subset_size);
  visit(v, Field("neighbours", "k of precision and recall").at_least(1), c.neighbours);
  visit(v, Field("sigma", "sigma of mmd_rbf's kernel exp(-d^2 / (2 sigma^2))").above(0), c.sigma);
  visit(v, Field("confidence", "probability from which a sample counts in confident_share").between(0, 1), c.confidence);
  visit(v, Field("max_pairs", "at most so many samples of each side in MMD, precision and recall").at_least(2), c.max_pairs);
  visit(v,
        Field("clips",
              "with clips.judge the samples are moving-digits clips (samples.path: a run of linden sample, or moving_digits for real ones), and of the keys "
              "above only samples.path and limit count"),
        c.clips);
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
  visit(v, Field("classifier", "who read the classes"), c.classifier);
  visit(v, Field("num_samples", "samples"), c.num_samples);
  visit(v, Field("num_reference", "reference samples; 0 where only statistics were given"), c.num_reference);
  visit(v, Field("num_features", "F"), c.num_features);
  v.begin_object(Field("metrics", "by name"));
  for (auto& [name, value] : c.metrics) visit(v, Field(name, ""), value);
  v.end_object();
  if (c.not_measured.empty()) return;
  v.begin_object(Field("not_measured", "why, by name"));
  for (auto& [name, reason] : c.not_measured) visit(v, Field(name, ""), reason);
  v.end_object();
}

namespace {

void check_asked_classes(const EvaluateConfig& config, int64_t num_classes) {
  for (const int64_t label : config.asked) {
    if (num_classes == 0 || (label >= 0 && label < num_classes)) continue;
    throw ConfigError(fmt::format("asked: class {}, but the classifier {} has the classes 0..{}", label, config.classifier, num_classes - 1));
  }
}

void check_labels(const SampleSet& samples, const EvaluateConfig& config, int64_t num_classes) {
  if (!samples.labels().defined() || num_classes == 0 || !asked(config, "accuracy")) return;
  const int64_t low = samples.labels().min().item<int64_t>(), high = samples.labels().max().item<int64_t>();
  check_input(low >= 0 && high < num_classes, "{}: the labels reach from {} to {}, but the classifier {} has the classes 0..{}", config.samples.path, low, high,
              config.classifier, num_classes - 1);
}

// Statistics in place of reference samples; they serve the Frechet distance alone.
std::optional<FeatureStatistics> reference_statistics(const SampleSetConfig& reference, const Embedder& embedder) {
  if (!holds_statistics(reference.path)) return std::nullopt;
  FeatureStatistics statistics = read_statistics(reference.path);
  const int64_t width = statistics.moments.mean.size(0);
  check_input(width == embedder.num_features(),
              "{}: statistics of {} features, but {} makes {}: choose the network and the layer that they were made with "
              "(pytorch-fid's default is Inception 2048)",
              reference.path, width, embedder.name(), embedder.num_features());
  check_input(statistics.features.empty() || statistics.features == embedder.name(),
              "{}: statistics of {} features, but those of the samples are {}: distances between them mean nothing", reference.path, statistics.features,
              embedder.name());
  return statistics;
}

void check_one_shape(const SampleSet& samples, const SampleSet& reference) {
  check_input(reference.shape() == samples.shape(), "the samples are [{}] each, the reference is [{}]: they must have one shape",
              fmt::join(samples.shape(), ", "), fmt::join(reference.shape(), ", "));
}

// Rows are kept in memory only where a metric looks at pairs.
EmbedOptions embed_options(const EvaluateConfig& config, bool of_samples) {
  const auto any = [&](std::initializer_list<const char*> names) {
    return std::any_of(names.begin(), names.end(), [&](const char* name) { return asked(config, name); });
  };
  EmbedOptions options;
  options.batch_size = config.batch_size;
  options.keep_rows = any({"kid", "mmd_rbf", "mmd_rbf_five", "cmmd", "precision_recall"}) || (of_samples && asked(config, "diversity"));
  options.logits = of_samples && any({"class_share", "confident_share", "accuracy"});
  options.count_duplicates = of_samples && asked(config, "duplicates");
  return options;
}

}  // namespace

EvaluateSummary evaluate(EvaluateConfig config, at::Device device) {
  const SampleSet samples(config.samples);
  config.metrics = settled_metrics(config, samples, holds_statistics(config.reference.path));
  const Embedder embedder(config.features, config.classifier, samples, device);
  check_asked_classes(config, embedder.num_classes());
  check_labels(samples, config, embedder.num_classes());
  const std::optional<FeatureStatistics> statistics = reference_statistics(config.reference, embedder);
  std::optional<SampleSet> real;
  if (!statistics && !config.reference.path.empty()) real.emplace(config.reference);
  if (real) check_one_shape(samples, *real);
  check_input(samples.size() > 1 || config.save_statistics.empty(), "save_statistics: a covariance needs at least 2 samples, got 1");

  EvaluateSummary summary;
  summary.samples = config.samples.path;
  summary.reference = config.reference.path;
  summary.features = embedder.name();
  summary.classifier = embedder.classifier_name();
  summary.num_samples = samples.size();
  summary.num_features = embedder.num_features();
  const Embedded embedded = embedder.embed(samples, "samples", embed_options(config, true));
  if (!config.save_statistics.empty()) write_statistics(config.save_statistics, {embedded.moments, embedder.name()});
  Embedded reference;
  if (statistics) reference.moments = statistics->moments;
  if (real) {
    summary.num_reference = real->size();
    reference = embedder.embed(*real, "reference", embed_options(config, false));
  }
  Measurement measurement(config, summary);
  measurement.add("frechet_distance", [&](Metrics& out) {
    check_input(samples.size() > 1, "a covariance needs at least 2 samples, got 1");
    if (real || statistics->moments.count > 2) warn_if_few(reference.moments.count, summary.num_features, "reference");
    warn_if_few(samples.size(), summary.num_features, "samples");
    out.emplace_back("frechet_distance", frechet_distance(reference.moments, embedded.moments));
  });
  if (reference.rows.defined()) add_pairwise(measurement, config, embedded, reference);
  add_alone(measurement, config, samples, embedded);
  if (summary.metrics.empty() && !summary.not_measured.empty())
    throw InputError(fmt::format("nothing could be measured. {}: {}", summary.not_measured.front().first, summary.not_measured.front().second));
  return summary;
}

std::string describe_summary(const EvaluateSummary& summary) {
  static const std::vector<std::string> kOnFeatures = {"frechet_distance", "kid",    "kid_deviation", "mmd_rbf", "mmd_rbf_five", "cmmd",
                                                       "precision",        "recall", "diversity"};
  static const std::vector<std::string> kOnClasses = {"class_share", "confident_share", "accuracy"};
  const auto is_one_of = [](const std::vector<std::string>& names, const std::string& name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  std::string text = fmt::format(
      "{} samples of {}{}\n", summary.num_samples, summary.samples,
      summary.reference.empty() ? ""
                                : fmt::format(" against {}{}", summary.num_reference ? fmt::format("{} of ", summary.num_reference) : "", summary.reference));
  for (const auto& [name, value] : summary.metrics) {
    std::string line = name;
    if (is_one_of(kOnFeatures, name)) line += fmt::format(", {} features", summary.features);
    if (is_one_of(kOnClasses, name)) line += fmt::format(", read by {}", summary.classifier);
    text += fmt::format("  {:<72} {:.6g}\n", line, value);
  }
  for (const auto& [name, reason] : summary.not_measured) text += fmt::format("  {:<72} not measured: {}\n", name, reason);
  return text;
}

}  // namespace linden
