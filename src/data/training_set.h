// What a training run learns from: images, clips, or exact draws of a closed-form 2-D distribution.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "core/config.h"
#include "data/clip_bank.h"

namespace linden {

struct MnistData {
  static constexpr const char* kType = "mnist";
  std::string split = "train";
  int64_t num_examples = 0;  // the first so many; 0: all
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
// clips: [1, F, Y, X] with captions, made when they are asked for. What verifiers of clips learn from: frames [1, Y, X] with
// the digit as class; steps, two successive frames [2, Y, X], with the place in motions() of what happens between them.
struct MovingDigitsData : MovingDigitsConfig {
  std::string examples = "clips";
  int64_t num_examples = 200000;
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
void visit_fields(FieldVisitor& v, MovingDigitsData& c);
void visit_fields(FieldVisitor& v, GaussianMixtureData& c);
void visit_fields(FieldVisitor& v, CheckerboardData& c);
using DataConfig = std::variant<MnistData, Cifar10Data, ImageFolderData, MovingDigitsData, GaussianMixtureData, CheckerboardData>;

struct TrainingSet {
  at::Tensor examples;                    // [S, C, Y, X] images: u8, or fp32 in [-1, 1]; or [S, 2] points, fp32; undefined for clips
  at::Tensor labels;                      // [S] int64; undefined where there are none
  std::shared_ptr<const ClipBank> clips;  // instead of examples
  int64_t size() const { return clips ? clips->size() : examples.size(0); }
  std::vector<int64_t> example_shape() const;
  at::Device device() const { return clips ? clips->digit.device() : examples.device(); }
  TrainingSet to(at::Device device) const;
  // Rows of the set as a network sees them: fp32, images in [-1, 1]. rows: [B] int64 on the set's device.
  at::Tensor batch(const at::Tensor& rows) const;  // [B, ...]
};

// `seed` draws the points of the 2-D sets and what the clips show. Throws InputError (see load_digits, load_cifar10, list_image_folder), or if
// num_examples is more than there are.
TrainingSet load_training_set(const DataConfig& config, uint64_t seed);
// The set that a classifier is tested on: the 10,000 test images for the split "train" of MNIST and CIFAR-10 (of the same
// classes), at most 10,000 examples of the test digits for moving digits, the set itself otherwise.
TrainingSet load_test_set(const DataConfig& config, uint64_t seed);

std::string data_type(const DataConfig& config);  // "mnist"
bool flips_images(const DataConfig& config);
// What can be said without loading the set; of an image folder the files are listed and the first one is read.
std::vector<int64_t> example_shape(const DataConfig& config);
int64_t num_examples(const DataConfig& config);
bool has_labels(const DataConfig& config);
int64_t example_bytes(const DataConfig& config);  // what an example takes in memory

}  // namespace linden
