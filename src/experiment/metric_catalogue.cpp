#include "experiment/metric_catalogue.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

namespace linden {

namespace {

struct Entry {
  const char* key;
  const char* label;
  Better better;
  Display display = Display::kNumber;
  bool on_features = false;
};

constexpr auto kHigher = Better::kHigher;
constexpr auto kLower = Better::kLower;
constexpr auto kNeither = Better::kNeither;

const std::array kMetrics = {
    // transfer, and what LinVideo measures
    Entry{"student.judge.success", "Success", kHigher},
    Entry{"student.judge.digit_accuracy", "Right digit", kHigher, Display::kPercent},
    Entry{"student.distance.frames", "Frechet, frames", kLower},
    Entry{"student.distance.differences", "Frechet, differences", kLower},
    Entry{"teacher.judge.success", "Teacher: success", kNeither},
    Entry{"teacher.distance.frames", "Teacher: Frechet, frames", kNeither},
    Entry{"teacher.distance.differences", "Teacher: Frechet, differences", kNeither},
    Entry{"student.real_judge.success", "Real clips: success", kNeither},
    Entry{"student.real_distance.frames", "Real clips: Frechet, frames", kNeither},
    Entry{"student.real_distance.differences", "Real clips: Frechet, differences", kNeither},
    Entry{"gap_before_commit", "Gap before the commit", kLower},
    Entry{"gap_after_commit", "Gap after the commit", kLower},
    Entry{"gap", "Gap at the end", kLower},
    Entry{"commit_distance", "Distance of r to 0 or 1", kLower},
    Entry{"stopped_at_step", "Diverged, stopped at step", kNeither},
    Entry{"vbench_imaging_quality", "VBench Imaging Quality", kHigher},
    Entry{"vbench_mean", "VBench, mean of eight", kHigher},
    // align
    Entry{"nfe", "NFE", kNeither},
    Entry{"mean_reward", "Mean log reward", kHigher},
    Entry{"best_reward", "Best log reward", kHigher},
    Entry{"greedy_reward", "Greedy log reward", kHigher},
    Entry{"root_value", "Root value", kNeither},
    Entry{"exact_root_value", "Exact root value", kNeither},
    Entry{"mmd", "MMD^2 to the target", kLower},
    Entry{"effective_samples", "Effective samples", kNeither},
    Entry{"nfe_per_second", "NFE per second", kHigher},
    Entry{"judged_share", "Judge reads as asked", kHigher, Display::kPercent},
    Entry{"num_distinct", "Distinct samples", kHigher},
    Entry{"num_leaves", "Leaves", kNeither},
    Entry{"diversity", "Diversity", kHigher, Display::kNumber, true},
    Entry{"network_calls", "Network calls", kNeither},
    Entry{"reward_calls", "Reward calls", kNeither},
    Entry{"wall_seconds", "Wall time, s", kNeither},
    Entry{"num_samples", "Samples", kNeither},
    // evaluate
    Entry{"frechet_distance", "Frechet distance", kLower, Display::kNumber, true},
    Entry{"real_frechet_distance", "Frechet distance of real samples", kNeither, Display::kNumber, true},
    Entry{"kid", "KID", kLower, Display::kNumber, true},
    Entry{"kid_deviation", "KID, deviation over subsets", kNeither, Display::kNumber, true},
    Entry{"mmd_rbf", "MMD^2, one kernel", kLower, Display::kNumber, true},
    Entry{"mmd_rbf_five", "MMD^2, five kernels", kLower, Display::kNumber, true},
    Entry{"cmmd", "1000 MMD^2 of unit rows, sigma 10", kLower, Display::kNumber, true},
    Entry{"precision", "Precision", kHigher, Display::kNumber, true},
    Entry{"recall", "Recall", kHigher, Display::kNumber, true},
    Entry{"num_duplicates", "Duplicates", kLower},
    Entry{"class_share", "Read as asked", kHigher, Display::kPercent},
    Entry{"confident_share", "Confident", kHigher, Display::kPercent},
    Entry{"reward_mean", "Reward, mean", kHigher},
    Entry{"reward_deviation", "Reward, deviation", kNeither},
    Entry{"reward_median", "Reward, median", kHigher},
    Entry{"reward_minimum", "Reward, lowest", kHigher},
    Entry{"reward_maximum", "Reward, highest", kHigher},
};

const Entry* find_entry(std::string_view key) {
  const auto found = std::find_if(kMetrics.begin(), kMetrics.end(), [&](const Entry& entry) { return key == entry.key; });
  return found == kMetrics.end() ? nullptr : &*found;
}

Better guessed_direction(std::string_view key) {
  if (key == "loss" || key.ends_with("_loss") || key.ends_with("_ms")) return kLower;
  if (key == "accuracy" || key.ends_with("_accuracy") || key.ends_with("_per_second")) return kHigher;
  return kNeither;
}

}  // namespace

std::string list_name(const std::string& metric) {
  const size_t dot = metric.rfind('.');
  if (dot == std::string::npos || dot + 1 == metric.size()) return "";
  return metric.find_first_not_of("0123456789", dot + 1) == std::string::npos ? metric.substr(0, dot) : "";
}

std::string metric_key(const std::string& name, const std::string& features) {
  const Entry* entry = find_entry(name);
  return entry && entry->on_features && !features.empty() ? fmt::format("{} [{} features]", name, features) : name;
}

MetricInfo metric_info(const std::string& key) {
  const size_t bracket = key.find(" [");
  const std::string name = key.substr(0, bracket);
  const std::string list = list_name(name);
  MetricInfo info{key, name, guessed_direction(list.empty() ? name : list), Display::kNumber, 0};
  if (const Entry* entry = find_entry(name)) {
    info.label = entry->label;
    info.better = entry->better;
    info.display = entry->display;
    if (info.label.ends_with("log reward")) info.negligible = kNegligibleLogReward;
  } else if (name.ends_with("accuracy") || name.ends_with("_share")) {
    info.display = Display::kPercent;
  }
  if (bracket != std::string::npos) info.label += ", " + key.substr(bracket + 2, key.size() - bracket - 3);
  return info;
}

std::string value_label(const std::string& value) {
  static const std::array<std::pair<const char*, const char*>, 4> kNames = {
      {{"dts", "DTS"}, {"dts_unbiased", "DTS unbiased"}, {"dts_star", "DTS*"}, {"best_of_n", "best-of-N"}}};
  for (const auto& [name, label] : kNames) {
    if (value == name) return label;
  }
  return value;
}

std::string key_label(const std::string& key) {
  if (key == "method.type" || key == "method") return "Method";
  if (key == "nfe") return "NFE budget";
  if (key == "run") return "Run";
  return key;
}

std::vector<std::string> default_columns(const std::string& command) {
  if (command != "align") return {};
  return {"nfe",       "mean_reward", "best_reward",      "judged_share", "num_distinct",     "num_leaves",
          "diversity", "root_value",  "exact_root_value", "mmd",          "frechet_distance", "wall_seconds"};
}

}  // namespace linden
