#include "evaluate/sample_set.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "core/error.h"
#include "data/digits.h"
#include "io/hdf5.h"
#include "io/npz.h"
#include "io/png.h"

namespace linden {

namespace fs = std::filesystem;

namespace {

// Arrays of one file by name: HDF5 or npz.
class ArrayFile {
 public:
  explicit ArrayFile(const fs::path& file) {
    if (file.extension() == ".npz") {
      arrays_ = read_npz(file);
      return;
    }
    const Hdf5Reader reader(file);
    for (const std::string& name : reader.names()) arrays_[name] = reader.read(name);
  }
  at::Tensor find(const std::string& name) const { return arrays_.contains(name) ? arrays_.at(name) : at::Tensor(); }
  std::string names() const {
    std::vector<std::string> names;
    for (const auto& [name, array] : arrays_) names.push_back(name);
    return fmt::format("{}", fmt::join(names, ", "));
  }

 private:
  NpzArrays arrays_;
};

// Bytes in 0..255 and floats in [-1, 1] both become fp32 in [-1, 1].
at::Tensor scaled(const at::Tensor& samples) {
  return samples.scalar_type() == at::kByte ? samples.to(at::kFloat).mul_(2.0 / 255).sub_(1) : samples.to(at::kFloat);
}

// u8 [S, Y, X, C], the layout of other projects' npz files, to [S, C, Y, X].
at::Tensor channels_first(const at::Tensor& samples) {
  const bool last = samples.dim() == 4 && samples.scalar_type() == at::kByte && (samples.size(3) == 3 || samples.size(3) == 1) &&
                    samples.size(1) != 3 && samples.size(1) != 1;
  return last ? samples.permute({0, 3, 1, 2}).contiguous() : samples;
}

// A run folder's own sample set.
fs::path resolved(const fs::path& path) {
  return fs::is_directory(path) && fs::exists(path / "samples.h5") ? path / "samples.h5" : path;
}

std::string digit_split(const std::string& path) {
  if (path == "mnist_train") return "train";
  if (path == "mnist_test") return "test";
  return path == "mnist_test_1000" ? "shipped" : "";
}

}  // namespace

void visit_fields(FieldVisitor& v, SampleSetConfig& c) {
  visit(v, Field("path", "a run folder with samples.h5, an .h5 or .npz file, a folder of PNG files, or mnist_train, mnist_test, mnist_test_1000"), c.path);
  visit(v, Field("dataset", "name of the array in an .h5 or .npz file: [S, C, Y, X] in [-1, 1] or bytes, or [S, D]"), c.dataset);
  visit(v, Field("labels", "name of the array of classes [S]"), c.labels);
  visit(v, Field("classes", "only samples of these classes; empty: all"), c.classes);
  visit(v, Field("limit", "at most so many samples; 0: all").at_least(0), c.limit);
}

SampleSet::SampleSet(const SampleSetConfig& config) : origin_(config.path) {
  const fs::path path = resolved(config.path);
  if (const std::string split = digit_split(config.path); !split.empty()) {
    const Digits digits = load_digits(split);
    rows_ = digits.images;
    labels_ = digits.labels;
  } else {
    check_input(fs::exists(path), "{}: there is nothing of that name; give a run folder, an .h5 or .npz file, a folder of PNG files, or mnist_train, "
                "mnist_test, mnist_test_1000", config.path);
    fs::is_directory(path) ? read_folder(path) : read_array(config, path);
  }
  keep(config);
  check_input(size() > 0, "{}: no sample left{}", origin_, config.classes.empty() ? "" : fmt::format(" of the classes {}", fmt::join(config.classes, ", ")));
  const at::Tensor first = rows_.defined() ? rows_[0] : read_png(files_[0]);
  shape_.assign(first.sizes().begin(), first.sizes().end());
}

void SampleSet::read_array(const SampleSetConfig& config, const fs::path& file) {
  check_input(file.extension() == ".npz" || file.extension() == ".h5" || file.extension() == ".hdf5", "{}: wanted an .h5 or .npz file", file.string());
  const ArrayFile arrays(file);
  rows_ = channels_first(arrays.find(config.dataset).defined() ? arrays.find(config.dataset) : at::Tensor());
  check_input(rows_.defined(), "{}: no array \"{}\"; it holds: {} (choose with \"dataset\")", file.string(), config.dataset, arrays.names());
  check_input(rows_.dim() == 2 || rows_.dim() == 4, "{}: \"{}\" has shape [{}], wanted [S, C, Y, X] or [S, D]", file.string(), config.dataset,
              fmt::join(rows_.sizes(), ", "));
  const auto column = [&](const std::string& name, at::ScalarType dtype) {
    at::Tensor values = arrays.find(name);
    check_input(!values.defined() || values.numel() == rows_.size(0), "{}: \"{}\" has {} values for {} samples", file.string(), name,
                values.defined() ? values.numel() : 0, rows_.size(0));
    return values.defined() ? values.reshape({-1}).to(dtype) : values;
  };
  labels_ = column(config.labels, at::kLong);
  rewards_ = column("reward", at::kDouble);
}

void SampleSet::read_folder(const fs::path& folder) {
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ".png") files_.push_back(entry.path());
  }
  std::sort(files_.begin(), files_.end());
  check_input(!files_.empty(), "{}: no PNG file and no samples.h5 in this folder", folder.string());
}

void SampleSet::keep(const SampleSetConfig& config) {
  if (!config.classes.empty()) {
    check_input(labels_.defined(), "{}: classes are asked for, but the samples have no labels{}", origin_,
                rows_.defined() ? fmt::format(" (no array \"{}\")", config.labels) : "");
    const at::Tensor kept = at::isin(labels_, at::tensor(config.classes, at::kLong)).nonzero().flatten();
    rows_ = rows_.index_select(0, kept);
    labels_ = labels_.index_select(0, kept);
    if (rewards_.defined()) rewards_ = rewards_.index_select(0, kept);
  }
  if (config.limit == 0 || config.limit >= size()) return;
  if (!rows_.defined()) {
    files_.resize(static_cast<size_t>(config.limit));
    return;
  }
  rows_ = rows_.narrow(0, 0, config.limit);
  if (labels_.defined()) labels_ = labels_.narrow(0, 0, config.limit);
  if (rewards_.defined()) rewards_ = rewards_.narrow(0, 0, config.limit);
}

int64_t SampleSet::size() const { return rows_.defined() ? rows_.size(0) : static_cast<int64_t>(files_.size()); }

at::Tensor SampleSet::batch(int64_t first, int64_t count) const {
  if (rows_.defined()) return scaled(rows_.narrow(0, first, count));
  std::vector<at::Tensor> images;
  for (int64_t i = first; i < first + count; ++i) {
    const fs::path& file = files_[static_cast<size_t>(i)];
    const at::Tensor image = read_png(file);
    check_input(image.sizes() == at::IntArrayRef(shape_), "{}: this image is [{}], but {} is [{}]: all images of a folder must have one size",
                file.string(), fmt::join(image.sizes(), ", "), files_[0].filename().string(), fmt::join(shape_, ", "));
    images.push_back(image);
  }
  return scaled(at::stack(images));
}

}  // namespace linden
