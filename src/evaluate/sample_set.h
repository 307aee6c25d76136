// Samples to be evaluated, from wherever they lie.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/config.h"
#include "data/image_folder.h"

namespace linden {

struct SampleSetConfig {
  std::string path;                 // a run folder, .h5, .npz, a folder of PNG files or of class folders, or a data set's name
  std::string dataset = "samples";  // name of the array in .h5 and .npz
  std::string labels = "labels";    // name of the array of classes
  std::vector<int64_t> classes;     // keep these only; empty: all
  int64_t limit = 0;                // the first so many of what is kept; 0: all
};
void visit_fields(FieldVisitor& v, SampleSetConfig& c);

// Rows in memory, or PNG files that are read a batch at a time.
class SampleSet {
 public:
  // InputError: nothing there, an array that is missing or no [S, C, Y, X] or [S, D], images of mixed size (which,
  // and both sizes), files that do not fit the folder's SHA256SUMS, classes without labels, no sample left; a data set
  // that is not there or damaged (see load_digits, load_cifar10).
  explicit SampleSet(const SampleSetConfig& config);

  int64_t size() const;
  bool images() const { return shape_.size() == 3; }
  const std::vector<int64_t>& shape() const { return shape_; }  // of one sample: C, Y, X, or D
  // Samples [first, first + count) as fp32; images in [-1, 1] (bytes are scaled).
  at::Tensor batch(int64_t first, int64_t count) const;  // [count, ...shape()]
  at::Tensor labels() const { return labels_; }          // [S] int64, or undefined
  at::Tensor rewards() const { return rewards_; }        // [S] fp64, or undefined

 private:
  bool read_named(const std::string& name);  // a data set; false: none of that name
  void read_array(const SampleSetConfig& config, const std::filesystem::path& file);
  void read_folder(const std::filesystem::path& folder);
  void keep(const SampleSetConfig& config);
  void select(const at::Tensor& kept);  // [K] int64: rows that stay

  std::string origin_;
  at::Tensor rows_;  // [S, ...], undefined for PNG files
  ImageFolder folder_;
  at::Tensor labels_, rewards_;
  std::vector<int64_t> shape_;
};

}  // namespace linden
