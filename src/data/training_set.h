// What a training run learns from: images, or exact draws of a closed-form 2-D distribution.
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
struct Cifar10Data {
  static constexpr const char* kType = "cifar10";
  std::string split = "train";
  std::string folder;            // empty: cifar10/ of the data folder
  std::vector<int64_t> classes;  // these only; empty: all
  int64_t num_examples = 0;      // the first so many of them; 0: all
  bool horizontal_flips = false;
};
struct ImageFolderData {
  static constexpr const char* kType = "image_folder";
  std::string folder;
  std::string checksums = "verify";
  bool horizontal_flips = false;
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
void visit_fields(FieldVisitor& v, Cifar10Data& c);
void visit_fields(FieldVisitor& v, ImageFolderData& c);
void visit_fields(FieldVisitor& v, GaussianMixtureData& c);
void visit_fields(FieldVisitor& v, CheckerboardData& c);
using DataConfig = std::variant<MnistData, Cifar10Data, ImageFolderData, GaussianMixtureData, CheckerboardData>;

struct TrainingSet {
  at::Tensor examples;           // [S, C, Y, X] images: u8, or fp32 in [-1, 1]; or [S, 2] points, fp32
  at::Tensor labels;             // [S] int64; undefined where there are none
  std::vector<int64_t> example_shape() const { return examples.sizes().slice(1).vec(); }
  // Rows of the set as a network sees them: fp32, images in [-1, 1]. rows: [B] int64 on the set's device.
  at::Tensor batch(const at::Tensor& rows) const;   // [B, ...]
};

// `seed` draws the points of the 2-D sets. Throws InputError (see load_digits, load_cifar10, list_image_folder), or if
// num_examples is more than there are.
TrainingSet load_training_set(const DataConfig& config, uint64_t seed);
// The set that a classifier is tested on: the 10,000 test images for the split "train" of MNIST and CIFAR-10 (of the same
// classes), the set itself otherwise.
TrainingSet load_test_set(const DataConfig& config, uint64_t seed);

std::string data_type(const DataConfig& config);            // "mnist"
bool flips_images(const DataConfig& config);
// What can be said without loading the set; of an image folder the files are listed and the first one is read.
std::vector<int64_t> example_shape(const DataConfig& config);
int64_t num_examples(const DataConfig& config);
bool has_labels(const DataConfig& config);
bool holds_bytes(const DataConfig& config);                 // TrainingSet::examples is u8

}  // namespace linden
