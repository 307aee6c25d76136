// The configs of the digit classifiers: the guide (classifier.h) and the judge (judge.h).
#pragma once

#include <cstdint>
#include <vector>

#include "core/config.h"
#include "models/model_folder.h"

namespace linden {

struct DigitClassifierConfig {
  static constexpr const char* kClassName = "DigitClassifier";
  static NullableKeys nullable_keys() { return {}; }
  int64_t image_size = 32;  // rows and columns
  int64_t in_channels = 1;
  int64_t num_classes = 10;
};
void visit_fields(FieldVisitor& v, DigitClassifierConfig& c);

struct DigitJudgeConfig {
  static constexpr const char* kClassName = "DigitJudge";
  static NullableKeys nullable_keys() { return {}; }
  int64_t in_channels = 1;
  int64_t num_classes = 10;
  std::vector<int64_t> channels = {16, 32, 32, 64, 64};  // of each convolution
  std::vector<int64_t> strides = {1, 2, 1, 2, 2};
  int64_t norm_groups = 8;
};
void visit_fields(FieldVisitor& v, DigitJudgeConfig& c);

}  // namespace linden
