// What a report knows of a number by its name: how it is called in a table, and which way is better.
#pragma once

#include <string>
#include <vector>

namespace linden {

enum class Better { kNeither, kHigher, kLower };
enum class Display { kNumber, kPercent };

// Half a percent in probability: log rewards closer than this are called equal in words.
inline constexpr double kNegligibleLogReward = 0.005;

struct MetricInfo {
  std::string key, label;
  Better better = Better::kNeither;
  Display display = Display::kNumber;
  double negligible = 0;  // a smaller difference is called a tie in words (marks in tables follow the tolerance alone)
};

// "eager_ms" of "eager_ms.8", an entry of a list; "" for another number.
std::string list_name(const std::string& metric);
// "frechet_distance" on features "DigitJudge" -> "frechet_distance [DigitJudge features]": numbers on
// different features never share a column. Other metrics keep their name.
std::string metric_key(const std::string& name, const std::string& features);

// Known names have their entry; unknown ones are called by their name, and their direction is guessed
// from the ending only where it leaves no doubt (_loss, _accuracy, _ms, _per_second).
MetricInfo metric_info(const std::string& key);

// "dts_star" -> "DTS*"; unknown values stay as they are.
std::string value_label(const std::string& value);
// "method.type" -> "Method", "nfe" -> "NFE budget".
std::string key_label(const std::string& key);

// The columns of a table over runs of `command`, in this order, as far as runs have them; empty: every number.
std::vector<std::string> default_columns(const std::string& command);

}  // namespace linden
