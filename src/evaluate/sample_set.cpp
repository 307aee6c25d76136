#include "evaluate/sample_set.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <span>

#include "core/error.h"
#include "core/logging.h"
#include "data/checksum_manifest.h"
#include "data/cifar.h"
#include "data/digits.h"
#include "io/hdf5.h"
#include "io/npz.h"

namespace linden {

namespace fs = std::filesystem;

namespace {

constexpr double kWideRange = 1.5;  // a sampler that does not clip leaves [-1, 1] a little

const char* const kDataSets = "mnist_train, mnist_test, mnist_test_1000, cifar10_train, cifar10_test";

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
at::Tensor scaled(const at::Tensor& samples) { return scaled_to_unit(samples).to(at::kFloat); }

// u8 [S, Y, X, C], the layout of other projects' npz files, to [S, C, Y, X].
at::Tensor channels_first(const at::Tensor& samples) {
  const bool last = samples.dim() == 4 && samples.scalar_type() == at::kByte && (samples.size(3) == 3 || samples.size(3) == 1) && samples.size(1) != 3 &&
                    samples.size(1) != 1;
  return last ? samples.permute({0, 3, 1, 2}).contiguous() : samples;
}

// A run folder's own sample set.
fs::path resolved(const fs::path& path) { return fs::is_directory(path) && fs::exists(path / "samples.h5") ? path / "samples.h5" : path; }

// Images are bytes, or floats in [-1, 1]: whatever else would be measured as noise.
void check_range(const at::Tensor& rows, const fs::path& file, const std::string& name) {
  if (rows.scalar_type() == at::kByte || rows.numel() == 0) return;
  check_input(rows.is_floating_point(), "{}: \"{}\" holds images as {}, wanted uint8, or floats in [-1, 1]", file.string(), name, toString(rows.scalar_type()));
  const double low = rows.min().item<double>(), high = rows.max().item<double>();
  if (low < -kWideRange || high > kWideRange)
    log_warning("{}: \"{}\" holds images from {:.4g} to {:.4g}, but floats are read as [-1, 1] (bytes as uint8): the numbers below are hardly what is wanted",
                file.string(), name, low, high);
}

}  // namespace

void visit_fields(FieldVisitor& v, SampleSetConfig& c) {
  visit(v,
        Field("path", fmt::format("a run folder with samples.h5, an .h5 or .npz file, a folder of PNG files or of class folders with them, or {}", kDataSets)),
        c.path);
  visit(v, Field("dataset", "name of the array in an .h5 or .npz file: [S, C, Y, X] in [-1, 1] or bytes, or [S, D]"), c.dataset);
  visit(v, Field("labels", "name of the array of classes [S]"), c.labels);
  visit(v, Field("classes", "only samples of these classes; empty: all"), c.classes);
  visit(v, Field("limit", "at most so many samples; 0: all").at_least(0), c.limit);
}

SampleSet::SampleSet(const SampleSetConfig& config) : origin_(config.path) {
  const fs::path path = resolved(config.path);
  if (!read_named(config.path)) {
    check_input(fs::exists(path), "{}: there is nothing of that name; give a run folder, an .h5 or .npz file, a folder of PNG files, or {}", config.path,
                kDataSets);
    fs::is_directory(path) ? read_folder(path) : read_array(config, path);
  }
  keep(config);
  check_input(size() > 0, "{}: no sample left{}", origin_, config.classes.empty() ? "" : fmt::format(" of the classes {}", fmt::join(config.classes, ", ")));
  shape_ = rows_.defined() ? rows_.sizes().slice(1).vec() : image_shape(folder_);
}

bool SampleSet::read_named(const std::string& name) {
  if (name == "cifar10_train" || name == "cifar10_test") {
    const LabelledImages set = load_cifar10(name == "cifar10_train" ? "train" : "test");
    rows_ = set.images;
    labels_ = set.labels;
  } else if (name == "mnist_train" || name == "mnist_test" || name == "mnist_test_1000") {
    const Digits digits = load_digits(name == "mnist_train" ? "train" : name == "mnist_test" ? "test" : "shipped");
    rows_ = digits.images;
    labels_ = digits.labels;
  }
  return rows_.defined();
}

void SampleSet::read_array(const SampleSetConfig& config, const fs::path& file) {
  check_input(file.extension() == ".npz" || file.extension() == ".h5" || file.extension() == ".hdf5", "{}: wanted an .h5 or .npz file", file.string());
  const ArrayFile arrays(file);
  rows_ = channels_first(arrays.find(config.dataset).defined() ? arrays.find(config.dataset) : at::Tensor());
  check_input(rows_.defined(), "{}: no array \"{}\"; it holds: {} (choose with \"dataset\")", file.string(), config.dataset, arrays.names());
  check_input(rows_.dim() == 2 || rows_.dim() == 4, "{}: \"{}\" has shape [{}], wanted [S, C, Y, X] or [S, D]", file.string(), config.dataset,
              fmt::join(rows_.sizes(), ", "));
  if (rows_.dim() == 4) check_range(rows_, file, config.dataset);
  const auto column = [&](const std::string& name, at::ScalarType dtype) {
    at::Tensor values = arrays.find(name);
    check_input(!values.defined() || values.numel() == rows_.size(0), "{}: \"{}\" has {} values for {} samples", file.string(), name,
                values.defined() ? values.numel() : 0, rows_.size(0));
    return values.defined() ? values.reshape({-1}).to(dtype) : values;
  };
  labels_ = column(config.labels, at::kDouble);
  if (labels_.defined()) {
    check_input(labels_.eq(labels_.floor()).all().item<bool>(), "{}: \"{}\" holds fractions, wanted whole numbers of classes", file.string(), config.labels);
    labels_ = labels_.to(at::kLong);
  }
  rewards_ = column("reward", at::kDouble);
}

void SampleSet::read_folder(const fs::path& folder) {
  folder_ = list_image_folder(folder);
  verify_checksums(folder, folder_.files);
  if (!folder_.labels.empty()) labels_ = at::tensor(folder_.labels, at::kLong);
}

// Rows `kept` of everything that there is a row of for each sample.
void SampleSet::select(const at::Tensor& kept) {
  for (at::Tensor* column : {&rows_, &labels_, &rewards_})
    if (column->defined()) *column = column->index_select(0, kept);
  if (rows_.defined()) return;
  std::vector<std::string> files;
  for (const int64_t i : std::span(kept.const_data_ptr<int64_t>(), static_cast<size_t>(kept.numel()))) files.push_back(folder_.files[static_cast<size_t>(i)]);
  folder_.files = files;
}

void SampleSet::keep(const SampleSetConfig& config) {
  if (!config.classes.empty()) {
    check_input(labels_.defined(), "{}: classes are asked for, but the samples have no labels{}", origin_,
                rows_.defined() ? fmt::format(" (no array \"{}\")", config.labels) : "");
    select(at::isin(labels_, at::tensor(config.classes, at::kLong)).nonzero().flatten());
  }
  if (config.limit > 0 && config.limit < size()) select(at::arange(config.limit, at::kLong));
}

int64_t SampleSet::size() const { return rows_.defined() ? rows_.size(0) : static_cast<int64_t>(folder_.files.size()); }

at::Tensor SampleSet::batch(int64_t first, int64_t count) const {
  if (rows_.defined()) return scaled(rows_.narrow(0, first, count));
  std::vector<at::Tensor> images;
  for (int64_t i = first; i < first + count; ++i) images.push_back(read_folder_image(folder_, static_cast<size_t>(i), shape_));
  return scaled(at::stack(images));
}

}  // namespace linden
