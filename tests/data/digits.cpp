#include "data/digits.h"

#include <ATen/ATen.h>
#include <stdlib.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "core/error.h"
#include "io/idx.h"
#include "tests/support/support.h"

using namespace linden;
using Catch::Matchers::ContainsSubstring;
using linden::test::message_of;
using linden::test::TemporaryFolder;

namespace {

// Points LINDEN_DATA at a folder for the life of the object.
class DataFolder {
 public:
  explicit DataFolder(const std::filesystem::path& folder) : old_(data_folder()) { setenv("LINDEN_DATA", folder.c_str(), 1); }
  ~DataFolder() { setenv("LINDEN_DATA", old_.c_str(), 1); }

 private:
  std::filesystem::path old_;
};

}  // namespace

TEST_CASE("the thousand shipped digits: padded, scaled, each class present", "[unit]") {
  const Digits digits = load_digits("shipped");
  CHECK(digits.images.sizes() == at::IntArrayRef({1000, 1, 32, 32}));
  CHECK(digits.images.scalar_type() == at::kFloat);
  CHECK(digits.images.min().item<float>() == -1.0f);
  CHECK(digits.images.max().item<float>() == 1.0f);
  at::Tensor frame = digits.images.clone();
  frame.slice(2, 2, 30).slice(3, 2, 30).fill_(-1);
  CHECK(frame.eq(-1).all().item<bool>());
  CHECK(at::bincount(digits.labels).min().item<int64_t>() > 80);
  CHECK(digits.labels[0].item<int64_t>() == 7);  // the test set's first digits: 7, 2, 1
  CHECK(digits.labels[1].item<int64_t>() == 2);
  CHECK(digits.labels.scalar_type() == at::kLong);
}

TEST_CASE("bytes become [-1, 1]", "[unit]") {
  at::Tensor bytes = at::zeros({1, 28, 28}, at::kByte);
  bytes[0][3][5] = 255;
  bytes[0][0][0] = 51;
  const at::Tensor image = digits_from_bytes(bytes);
  CHECK(image[0][0][5][7].item<float>() == 1.0f);
  CHECK(std::abs(image[0][0][2][2].item<float>() + 0.6f) < 1e-6f);
}

TEST_CASE("the real files", "[unit]") {
  if (test::data_folder().empty()) SKIP("no data folder (LINDEN_DATA)");
  const Digits test_set = load_digits("test"), shipped = load_digits("shipped");
  CHECK(test_set.images.size(0) == 10000);
  CHECK(at::equal(test_set.images.slice(0, 0, 1000), shipped.images));
  CHECK(at::equal(test_set.labels.slice(0, 0, 1000), shipped.labels));
}

TEST_CASE("missing digits: the message says what to put where", "[unit]") {
  TemporaryFolder folder;
  const DataFolder data(folder.path);
  const std::string message = message_of([] { load_digits("train"); });
  CHECK_THROWS_AS(load_digits("train"), InputError);
  CHECK_THAT(message, ContainsSubstring((folder / "mnist/train-images-idx3-ubyte.gz").string() + ": missing"));
  CHECK_THAT(message, ContainsSubstring("set LINDEN_DATA to that data folder (now " + folder.path.string() + ")"));
  CHECK_THAT(message, ContainsSubstring("or use the thousand digits of the repository, \"shipped\""));
}

TEST_CASE("digits that do not fit are refused", "[unit]") {
  TemporaryFolder folder;
  const auto images = folder / "images", labels = folder / "labels";
  const auto load = [&] { return message_of([&] { load_digit_files(images, labels); }); };
  write_idx(images, at::zeros({3, 28, 28}, at::kByte), false);
  write_idx(labels, at::zeros({4}, at::kByte), false);
  CHECK_THAT(load(), ContainsSubstring("holds 3 images, but") && ContainsSubstring("holds 4 labels"));
  write_idx(labels, at::full({3}, 10, at::kByte), false);
  CHECK_THAT(load(), ContainsSubstring("holds the label 10 (allowed 0..9)"));
  write_idx(images, at::zeros({3, 32, 32}, at::kByte), false);
  CHECK_THAT(load(), ContainsSubstring("shape [3, 32, 32], wanted [S, 28, 28]"));
  write_idx(images, at::zeros({0, 28, 28}, at::kByte), false);
  write_idx(labels, at::zeros({0}, at::kByte), false);
  CHECK_THAT(load(), ContainsSubstring("holds no images"));

  std::filesystem::create_directories(folder / "mnist");
  write_idx(folder / "mnist/t10k-images-idx3-ubyte.gz", at::zeros({3, 28, 28}, at::kByte), true);
  write_idx(folder / "mnist/t10k-labels-idx1-ubyte.gz", at::zeros({3}, at::kByte), true);
  const DataFolder data(folder.path);
  CHECK_THAT(message_of([] { load_digits("test"); }), ContainsSubstring("the test set holds 3 images, MNIST's has 10000"));
}
