// CIFAR-10 from files and archives. The small files and their formula: scripts/golden/make_cifar.py.
#include "data/cifar.h"

#include <ATen/ATen.h>
#include <stdlib.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "core/error.h"
#include "core/files.h"
#include "data/digits.h"
#include "io/archive.h"
#include "tests/support/support.h"

using namespace linden;
using Catch::Matchers::ContainsSubstring;
using linden::test::message_of;
using linden::test::TemporaryFolder;

namespace {

namespace fs = std::filesystem;

const fs::path kFolder = "tests/golden/data/cifar";
const CifarBatch kFirst = {"data_batch_1.bin", "6ae71bd76c9dfe69c731c42df6e052f8", 3 * kCifarRecordBytes, {}};
const CifarBatch kSecond = {"data_batch_2.bin", "a59d432c66b1196ebc743b26460d0e38", 2 * kCifarRecordBytes, {"none.tar", "two_batches.tar.xz"}};
const CifarBatch kTest = {"test_batch.bin", "3d38349f3a09dc7cb38be8fcf2e39d07", kCifarRecordBytes, {"two_batches.tar.xz"}};

int64_t pixel(int64_t first_label, int64_t i, int64_t c, int64_t y, int64_t x) { return (first_label + 31 * i + 77 * c + 5 * y + x) % 256; }

LabelledImages parse(const std::string& bytes) { return parse_cifar_records(std::as_bytes(std::span(bytes)), "batch.bin"); }

}  // namespace

TEST_CASE("records: one label, then the planes", "[golden]") {
  const LabelledImages set = load_cifar_batches(kFolder, {kFirst});
  CHECK(set.images.sizes() == at::IntArrayRef({3, 3, 32, 32}));
  CHECK(set.images.scalar_type() == at::kByte);
  CHECK(at::equal(set.labels, at::tensor({3, 0, 9}, at::kLong)));
  for (const auto& [i, c, y, x] : {std::array<int64_t, 4>{0, 0, 0, 0}, {0, 1, 0, 1}, {1, 2, 31, 30}, {2, 0, 7, 31}})
    CHECK(set.images[i][c][y][x].item<int64_t>() == pixel(3, i, c, y, x));
  CHECK(at::equal(of_classes(set, {9, 3}).labels, at::tensor({3, 9}, at::kLong)));
  CHECK(at::equal(of_classes(set, {9, 3}).images[1], set.images[2]));
}

TEST_CASE("batches of an archive and of files, in the asked order", "[golden]") {
  if (archive_library().empty()) SKIP("built without libarchive");
  const LabelledImages set = load_cifar_batches(kFolder, {kSecond, kFirst, kTest});
  CHECK(at::equal(set.labels, at::tensor({5, 5, 3, 0, 9, 1}, at::kLong)));
  CHECK(set.images[1][2][3][4].item<int64_t>() == pixel(5, 1, 2, 3, 4));
  CHECK(set.images[5][0][0][0].item<int64_t>() == 1);
}

TEST_CASE("the folder of the unpacked archive is found; a file goes before an archive", "[unit]") {
  TemporaryFolder folder;
  fs::create_directories(folder / "cifar-10-batches-bin");
  fs::copy_file(kFolder / "data_batch_1.bin", folder / "cifar-10-batches-bin/data_batch_1.bin");
  write_file_atomically(folder / "a.tar.xz", "nobody reads this");
  CifarBatch batch = kFirst;
  batch.archives = {"a.tar.xz"};
  CHECK(load_cifar_batches(folder.path, {batch}).labels.size(0) == 3);
}

TEST_CASE("bytes that are no records", "[unit]") {
  std::string bytes = read_text_file(kFolder / "data_batch_1.bin");
  CHECK(parse(bytes).labels.size(0) == 3);
  CHECK(message_of([&] { parse(bytes.substr(0, 5000)); }) ==
        "batch.bin: has 5000 bytes, wanted a whole number of records of 3073 bytes (1 label, 3 planes of 32x32)");
  CHECK_THAT(message_of([&] { parse(""); }), ContainsSubstring("batch.bin: has 0 bytes"));
  bytes[kCifarRecordBytes] = 10;
  CHECK(message_of([&] { parse(bytes); }) == "batch.bin: record 1 has the label 10 (allowed 0..9)");
  bytes[kCifarRecordBytes] = static_cast<char>(255);
  CHECK(message_of([&] { parse(bytes); }) == "batch.bin: record 1 has the label 255 (allowed 0..9)");
  CHECK_THROWS_AS(parse(bytes), InputError);
}

TEST_CASE("files that are not the published ones", "[unit]") {
  TemporaryFolder folder;
  const std::string file = (folder / "data_batch_1.bin").string();
  std::string bytes = read_text_file(kFolder / "data_batch_1.bin");
  write_file_atomically(file, bytes.substr(0, 2 * kCifarRecordBytes));
  CHECK(message_of([&] { load_cifar_batches(folder.path, {kFirst}); }) == file + ": has 6146 bytes, wanted 9219");
  bytes[100] = static_cast<char>(bytes[100] + 1);
  write_file_atomically(file, bytes);
  const std::string message = message_of([&] { load_cifar_batches(folder.path, {kFirst}); });
  CHECK_THAT(message, ContainsSubstring(file + ": its MD5 sum is "));
  CHECK_THAT(message, ContainsSubstring(", wanted 6ae71bd76c9dfe69c731c42df6e052f8: the file is damaged or not CIFAR-10's; fetch it again"));
  if (archive_library().empty()) SKIP("built without libarchive: the rest reads an archive");
  CifarBatch other = kTest;
  other.md5 = kFirst.md5;
  CHECK(message_of([&] { load_cifar_batches(kFolder, {other}); }) == (kFolder / "two_batches.tar.xz").string() +
                                                                         ": test_batch.bin: its MD5 sum is 3d38349f3a09dc7cb38be8fcf2e39d07, wanted " +
                                                                         kFirst.md5 + ": the file is damaged or not CIFAR-10's; fetch it again");
  other = {"data_batch_5.bin", kTest.md5, 10, {"two_batches.tar.xz"}};
  CHECK_THAT(message_of([&] {
               load_cifar_batches(kFolder, {kTest, other});
             }),
             ContainsSubstring("the archive has no member data_batch_5.bin; it holds: batches.meta.txt, "));
}

TEST_CASE("missing CIFAR-10: the message says what to put where", "[unit]") {
  TemporaryFolder folder;
  const fs::path old = data_folder();
  setenv("LINDEN_DATA", folder.path.c_str(), 1);
  const std::string message = message_of([] { load_cifar10("test"); });
  CHECK_THROWS_AS(load_cifar10("train"), InputError);
  setenv("LINDEN_DATA", old.c_str(), 1);
  CHECK(message ==
        (folder / "cifar10/test_batch.bin").string() +
            ": missing, and there is no archive with it (cifar-10-batches-5-test.tar.xz, cifar-10-binary.tar.gz). CIFAR-10's binary version, from "
            "https://www.cs.toronto.edu/~kriz/cifar.html, has data_batch_1.bin .. data_batch_5.bin and test_batch.bin, 30730000 bytes each: put these, "
            "the folder cifar-10-batches-bin or cifar-10-binary.tar.gz into the folder cifar10/ of your data folder and set LINDEN_DATA to that data "
            "folder (now " +
            folder.path.string() + ")");
}

TEST_CASE("the real test batch: a thousand of each class", "[unit]") {
  if (!fs::exists(cifar10_folder())) SKIP("no cifar10/ in the data folder (LINDEN_DATA)");
  if (archive_library().empty() && !fs::exists(cifar10_folder() / "test_batch.bin")) SKIP("built without libarchive, and CIFAR-10 is not unpacked");
  const LabelledImages set = load_cifar10("test");
  CHECK(at::bincount(set.labels).eq(1000).all().item<bool>());
  CHECK(set.labels.size(0) == 10000);
  CHECK(set.labels[0].item<int64_t>() == 3);  // a cat, two ships
  CHECK(set.labels[1].item<int64_t>() == 8);
  CHECK(set.labels[2].item<int64_t>() == 8);
}

TEST_CASE("the real training batches: five thousand of each class, the published mean and deviation", "[e2e]") {
  if (!fs::exists(cifar10_folder())) SKIP("no cifar10/ in the data folder (LINDEN_DATA)");
  if (archive_library().empty() && !fs::exists(cifar10_folder() / "data_batch_1.bin")) SKIP("built without libarchive, and CIFAR-10 is not unpacked");
  const LabelledImages set = load_cifar10("train");
  CHECK(at::bincount(set.labels).eq(5000).all().item<bool>());
  const double mean[] = {.49140, .48216, .44653}, deviation[] = {.24703, .24349, .26159};
  for (int64_t c = 0; c < 3; ++c) {
    const at::Tensor channel = set.images.select(1, c).to(at::kFloat).div_(255);
    CHECK(std::abs(channel.mean().item<double>() - mean[c]) < 1e-5);
    CHECK(std::abs(channel.std().item<double>() - deviation[c]) < 1e-5);
  }
}
