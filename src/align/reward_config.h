// Which reward a run asks for. The rewards themselves: reward.h.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "core/config.h"

namespace linden {

// log p(class | x) of a classifier; over several classes the maximum (DTS, app. F.2).
struct ClassifierRewardConfig {
  static constexpr const char* kType = "classifier";
  std::string folder = "experiments/digits/guide";
  int64_t digit = -1;  // one class; -1: `digits` says which
  std::vector<int64_t> digits;
};
// log( sum_i w_i N(x; mu_i) / sum_i N(x; mu_i) ) over equal modes on a ring, w_i = exp(growth i), i = 1 .. num_modes.
// A gaussian_mixture prior must have the same modes.
struct MixtureRewardConfig {
  static constexpr const char* kType = "mixture_log_ratio";
  double growth = 1.5;
  int64_t num_modes = 8;
  double radius = 4;
  double sigma = 0.3;
};
// scale |x|^2.
struct SquaredNormRewardConfig {
  static constexpr const char* kType = "squared_norm";
  double scale = -0.5;
};
// Of clips: mean over frames of log p(digit | frame), and over steps of log p(step) along the best legal path, by the guide.
struct ClipRewardConfig {
  static constexpr const char* kType = "clip";
  std::string folder = "experiments/moving_digits/guide";
  std::string caption;  // "a 3 moving up-left"; empty: the prior's
};
void visit_fields(FieldVisitor& v, ClipRewardConfig& c);
void visit_fields(FieldVisitor& v, ClassifierRewardConfig& c);
void visit_fields(FieldVisitor& v, MixtureRewardConfig& c);
void visit_fields(FieldVisitor& v, SquaredNormRewardConfig& c);

using RewardConfig = std::variant<ClassifierRewardConfig, MixtureRewardConfig, SquaredNormRewardConfig, ClipRewardConfig>;

}  // namespace linden
