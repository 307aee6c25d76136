#include "data/digits.h"

#include <ATen/ATen.h>

#include <cstdlib>

#include "core/error.h"
#include "io/idx.h"

namespace linden {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kStored = 28;  // rows and columns of MNIST
constexpr int64_t kPadding = 2;  // on each side

void require_file(const fs::path& file) {
  check_input(fs::exists(file),
              "{}: missing; put the four files of MNIST (train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, "
              "t10k-images-idx3-ubyte.gz, t10k-labels-idx1-ubyte.gz) into the folder mnist/ of your data folder and set LINDEN_DATA to "
              "that data folder (now {}), or use the thousand digits of the repository, \"shipped\"",
              file.string(), data_folder().string());
}

}  // namespace

fs::path data_folder() {
  const char* value = std::getenv("LINDEN_DATA");
  return value && *value ? fs::path(value) : fs::path("../shared/data");
}

fs::path shipped_digits_folder() {
  const fs::path folder = fs::path("experiments") / "digits";
  if (fs::exists(folder)) return folder;
  std::error_code error;
  for (fs::path above = fs::read_symlink("/proc/self/exe", error).parent_path(); above.has_relative_path(); above = above.parent_path())
    if (fs::exists(above / folder)) return above / folder;
  return folder;
}

at::Tensor digits_from_bytes(const at::Tensor& bytes) {
  check(bytes.scalar_type() == at::kByte && bytes.dim() >= 3 && bytes.size(-1) == kStored && bytes.size(-2) == kStored,
        "digits_from_bytes: wanted u8 [S, 28, 28]");
  const at::Tensor images = bytes.reshape({-1, 1, kStored, kStored}).to(at::kFloat).mul_(2.0 / 255.0).sub_(1.0);
  return at::constant_pad_nd(images, {kPadding, kPadding, kPadding, kPadding}, -1.0);
}

Digits load_digit_files(const fs::path& images_file, const fs::path& labels_file) {
  require_file(images_file);
  require_file(labels_file);
  const at::Tensor images = read_idx(images_file), labels = read_idx(labels_file);
  check_input(images.dim() == 3 && images.size(1) == kStored && images.size(2) == kStored, "{}: the images have shape [{}], wanted [S, 28, 28]",
              images_file.string(), fmt::join(images.sizes(), ", "));
  check_input(labels.dim() == 1, "{}: the labels have shape [{}], wanted [S]", labels_file.string(), fmt::join(labels.sizes(), ", "));
  check_input(images.size(0) == labels.size(0), "{} holds {} images, but {} holds {} labels; they must belong together", images_file.string(), images.size(0),
              labels_file.string(), labels.size(0));
  check_input(images.size(0) > 0, "{}: holds no images", images_file.string());
  const int64_t largest = labels.max().item<int64_t>();
  check_input(largest <= 9, "{}: holds the label {} (allowed 0..9)", labels_file.string(), largest);
  return {digits_from_bytes(images), labels.to(at::kLong)};
}

Digits load_digits(const std::string& split) {
  check(split == "train" || split == "test" || split == "shipped", "load_digits: split is \"{}\", wanted train, test or shipped", split);
  if (split == "shipped") {
    const fs::path folder = shipped_digits_folder();
    return load_digit_files(folder / "mnist_test_1000-images-idx3-ubyte.gz", folder / "mnist_test_1000-labels-idx1-ubyte.gz");
  }
  const fs::path folder = data_folder() / "mnist";
  const std::string prefix = split == "train" ? "train" : "t10k";
  const int64_t wanted = split == "train" ? 60000 : 10000;
  Digits digits = load_digit_files(folder / (prefix + "-images-idx3-ubyte.gz"), folder / (prefix + "-labels-idx1-ubyte.gz"));
  check_input(digits.images.size(0) == wanted, "{}: the {} set holds {} images, MNIST's has {}", folder.string(), split, digits.images.size(0), wanted);
  return digits;
}

}  // namespace linden
