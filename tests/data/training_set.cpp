// Images as training data: bytes in memory, fp32 in [-1, 1] a batch at a time, flips.
#include "data/training_set.h"

#include <ATen/ATen.h>

#include <catch2/catch_test_macros.hpp>

#include "core/error.h"
#include "data/cifar.h"
#include "data/labelled_images.h"
#include "io/archive.h"
#include "io/png.h"
#include "tests/support/support.h"

using namespace linden;
using linden::test::message_of;
using linden::test::TemporaryFolder;

namespace {

namespace fs = std::filesystem;

void write_two_images(const fs::path& folder) {
  write_png(folder / "a.png", at::arange(3 * 4 * 4).reshape({3, 4, 4}).to(at::kByte));
  write_png(folder / "b.png", at::full({3, 4, 4}, 255, at::kByte));
}

}  // namespace

TEST_CASE("an image folder as training data", "[unit]") {
  TemporaryFolder folder;
  write_two_images(folder.path);
  ImageFolderData data{folder.path.string(), "verify", true};
  CHECK(example_shape(data) == std::vector<int64_t>{3, 4, 4});
  CHECK(num_examples(data) == 2);
  CHECK(flips_images(data));
  CHECK_FALSE(has_labels(data));
  const TrainingSet set = load_training_set(data, 0);
  CHECK(set.examples.scalar_type() == at::kByte);
  const at::Tensor batch = set.batch(at::tensor({1, 0, 1}, at::kLong));
  CHECK(batch.scalar_type() == at::kFloat);
  CHECK(batch[0].eq(1).all().item<bool>());
  CHECK(batch[1].min().item<float>() == -1.0f);
  CHECK(at::allclose(batch[1], at::arange(48).reshape({3, 4, 4}).to(at::kFloat) / 127.5 - 1, 0, 1e-6));

  CHECK_FALSE(fs::exists(folder / "SHA256SUMS"));
  data.checksums = "write";
  example_shape(data);
  CHECK_FALSE(fs::exists(folder / "SHA256SUMS"));  // only loading writes
  load_training_set(data, 0);
  CHECK(fs::exists(folder / "SHA256SUMS"));
  write_png(folder / "b.png", at::zeros({3, 4, 4}, at::kByte));
  for (const char* checksums : {"write", "verify"}) {
    data.checksums = checksums;
    CHECK(message_of([&] { load_training_set(data, 0); }).find("/b.png: its SHA-256 is ") != std::string::npos);
  }
  CHECK(message_of([] { load_training_set(ImageFolderData{}, 0); }) == "data.folder is empty: where are the images?");
}

TEST_CASE("flips exchange left and right of the asked rows", "[unit]") {
  const at::Tensor images = at::arange(2 * 1 * 2 * 3).reshape({2, 1, 2, 3}).to(at::kFloat);
  const at::Tensor flipped = flip_images(images, at::tensor({0, 1}, at::kLong).to(at::kBool));
  CHECK(at::equal(flipped[0], images[0]));
  CHECK(at::equal(flipped[1], at::tensor({8, 7, 6, 11, 10, 9}, at::kFloat).reshape({1, 2, 3})));
}

TEST_CASE("CIFAR-10 as training data: known before it is loaded", "[unit]") {
  Cifar10Data data;
  CHECK(example_shape(data) == std::vector<int64_t>{3, 32, 32});
  CHECK(num_examples(data) == 50000);
  data.classes = {1, 9, 1};
  CHECK(num_examples(data) == 10000);
  data.split = "test";
  CHECK(num_examples(data) == 2000);
  data.num_examples = 7;
  CHECK(num_examples(data) == 7);
  CHECK(has_labels(data));
  CHECK(example_bytes(data) == 3 * 32 * 32);
  CHECK_FALSE(flips_images(data));
}

TEST_CASE("CIFAR-10 as training data: the real test batch", "[e2e]") {
  if (!fs::exists(cifar10_folder())) SKIP("no cifar10/ in the data folder (LINDEN_DATA)");
  if (archive_library().empty() && !fs::exists(cifar10_folder() / "test_batch.bin")) SKIP("built without libarchive, and CIFAR-10 is not unpacked");
  Cifar10Data data;
  data.split = "test";
  data.classes = {1, 9};
  data.num_examples = 1500;
  const TrainingSet set = load_training_set(data, 0);
  CHECK(set.examples.sizes() == at::IntArrayRef({1500, 3, 32, 32}));
  CHECK(set.labels.eq(1).logical_or(set.labels.eq(9)).all().item<bool>());
  CHECK(load_test_set(data, 0).examples.size(0) == 2000);
  data.num_examples = 2001;
  CHECK(message_of([&] { load_training_set(data, 0); }) ==
        "data.num_examples is 2001, but the CIFAR-10 split \"test\" of the asked classes holds 2000 (0: all)");
}

TEST_CASE("moving digits as training data: clips, frames and steps; the test digits are others", "[unit]") {
  MovingDigitsData data;
  data.source = "shipped";
  data.num_examples = 300;
  const TrainingSet clips = load_training_set(data, 3);
  CHECK(clips.size() == 300);
  CHECK(clips.example_shape() == example_shape(data));
  CHECK(example_shape(data) == std::vector<int64_t>{1, 8, 32, 32});
  CHECK_FALSE(has_labels(data));
  const MovingDigits set(data, 3);
  const std::vector<int64_t> rows = {250, 0, 17};
  CHECK(at::equal(clips.batch(at::tensor(rows, at::kLong)), set.clips(rows).video));
  CHECK(example_bytes(data) == 4 * 64 + 24 + 4 + 32);

  data.examples = "frames";
  const TrainingSet frames = load_training_set(data, 3);
  CHECK(has_labels(data));
  CHECK(frames.examples.scalar_type() == at::kByte);
  CHECK(frames.examples.sizes().slice(1) == at::IntArrayRef(example_shape(data)));
  const Clips wanted = set.clips(rows);
  const at::Tensor shown = frames.batch(at::tensor(rows, at::kLong));
  for (int64_t b = 0; b < 3; ++b) {
    CHECK(at::allclose(shown[b][0], wanted.video[b][0][rows[b] % 8], 0, 0.5 / 127.5 + 1e-6));
    CHECK(frames.labels[rows[b]].item<int64_t>() == set.content(rows[b]).digit);
  }
  const TrainingSet test = load_test_set(data, 3);
  CHECK(test.size() == 300);
  CHECK_FALSE(at::equal(test.examples, frames.examples));

  data.examples = "steps";
  const TrainingSet steps = load_training_set(data, 3);
  CHECK(steps.examples.sizes() == at::IntArrayRef({300, 2, 32, 32}));
  CHECK(steps.labels[7].item<int64_t>() == set.content(7).motion);  // frame 0: straight
  data.frames = 1;
  CHECK(message_of([&] { load_training_set(data, 3); }) == "data.frames is 1, but data.examples is steps, which are between two frames");
}
