// What a training run learns from: digits, or exact draws of a closed-form 2-D distribution.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "core/config.h"

namespace linden {

struct MnistData {
  static constexpr const char* kType = "mnist";
  std::string split = "train";
  int64_t num_examples = 0;      // the first so many; 0: all
};
struct GaussianMixtureData {
  static constexpr const char* kType = "gaussian_mixture";
  int64_t num_examples = 10000;
};
struct CheckerboardData {
  static constexpr const char* kType = "checkerboard";
  int64_t num_examples = 10000;
};
void visit_fields(FieldVisitor& v, MnistData& c);
void visit_fields(FieldVisitor& v, GaussianMixtureData& c);
void visit_fields(FieldVisitor& v, CheckerboardData& c);
using DataConfig = std::variant<MnistData, GaussianMixtureData, CheckerboardData>;

struct TrainingSet {
  at::Tensor examples;           // [S, 1, 32, 32] digits in [-1, 1], or [S, 2] points; fp32
  at::Tensor labels;             // [S] int64; undefined where there are none
  std::vector<int64_t> example_shape() const { return examples.sizes().slice(1).vec(); }
};

// `seed` draws the points of the 2-D sets. Throws InputError (see load_digits), or if num_examples is more than there are.
TrainingSet load_training_set(const DataConfig& config, uint64_t seed);
// The set that a classifier is tested on: MNIST's 10,000 test digits for "train", the set itself otherwise.
TrainingSet load_test_set(const MnistData& config);

std::string data_type(const DataConfig& config);            // "mnist"
std::vector<int64_t> example_shape(const DataConfig& config);  // without loading it
bool has_labels(const DataConfig& config);

}  // namespace linden
