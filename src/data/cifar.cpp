#include "data/cifar.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <cstring>
#include <future>
#include <map>

#include "core/error.h"
#include "data/digits.h"
#include "io/archive.h"
#include "io/digest.h"
#include "io/mapped_file.h"

namespace linden {
namespace {

namespace fs = std::filesystem;

constexpr size_t kBatchBytes = 10000 * kCifarRecordBytes;
constexpr int64_t kNumClasses = 10;
const char* const kUnpackedFolder = "cifar-10-batches-bin";  // what the published archive unpacks to
const char* const kPublishedArchive = "cifar-10-binary.tar.gz";

fs::path first_existing(const std::vector<fs::path>& places) {
  for (const fs::path& place : places)
    if (fs::exists(place)) return place;
  return {};
}

fs::path plain_file(const fs::path& folder, const CifarBatch& batch) { return first_existing({folder / batch.file, folder / kUnpackedFolder / batch.file}); }

fs::path archive_of(const fs::path& folder, const CifarBatch& batch) {
  std::vector<fs::path> places;
  for (const std::string& archive : batch.archives) places.push_back(folder / archive);
  const fs::path found = first_existing(places);
  check_input(!found.empty(),
              "{}: missing, and there is no archive with it ({}). CIFAR-10's binary version, from https://www.cs.toronto.edu/~kriz/cifar.html, "
              "has data_batch_1.bin .. data_batch_5.bin and test_batch.bin, {} bytes each: put these, the folder {} or {} into the folder "
              "cifar10/ of your data folder and set LINDEN_DATA to that data folder (now {})",
              (folder / batch.file).string(), fmt::join(batch.archives, ", "), kBatchBytes, kUnpackedFolder, kPublishedArchive, data_folder().string());
  return found;
}

LabelledImages checked_batch(std::span<const std::byte> bytes, const CifarBatch& batch, const std::string& origin) {
  check_input(bytes.size() == batch.num_bytes, "{}: has {} bytes, wanted {}", origin, bytes.size(), batch.num_bytes);
  const std::string sum = md5_hex(bytes);
  check_input(sum == batch.md5, "{}: its MD5 sum is {}, wanted {}: the file is damaged or not CIFAR-10's; fetch it again", origin, sum, batch.md5);
  return parse_cifar_records(bytes, origin);
}

using BatchesByName = std::map<std::string, LabelledImages>;

BatchesByName read_batches(const fs::path& archive, const std::vector<CifarBatch>& batches) {
  std::vector<ArchiveMember> members;
  for (const CifarBatch& batch : batches) members.push_back({batch.file, batch.num_bytes});
  const auto unpacked = read_archive(archive, members);
  BatchesByName found;
  for (const CifarBatch& batch : batches) found[batch.file] = checked_batch(unpacked.at(batch.file), batch, archive.string() + ": " + batch.file);
  return found;
}

}  // namespace

LabelledImages parse_cifar_records(std::span<const std::byte> bytes, const std::string& origin) {
  const auto size = static_cast<int64_t>(bytes.size());
  check_input(size > 0 && size % kCifarRecordBytes == 0, "{}: has {} bytes, wanted a whole number of records of {} bytes (1 label, 3 planes of 32x32)", origin,
              size, kCifarRecordBytes);
  const int64_t count = size / kCifarRecordBytes;
  LabelledImages set{at::empty({count, 3, 32, 32}, at::kByte), at::empty({count}, at::kLong)};
  auto* pixels = static_cast<std::byte*>(set.images.data_ptr());
  auto* labels = set.labels.data_ptr<int64_t>();
  for (int64_t i = 0; i < count; ++i) {
    const std::byte* record = bytes.data() + i * kCifarRecordBytes;
    labels[i] = std::to_integer<int64_t>(record[0]);
    check_input(labels[i] < kNumClasses, "{}: record {} has the label {} (allowed 0..{})", origin, i, labels[i], kNumClasses - 1);
    std::memcpy(pixels + i * (kCifarRecordBytes - 1), record + 1, kCifarRecordBytes - 1);
  }
  return set;
}

std::vector<CifarBatch> cifar10_batches(const std::string& split) {
  const std::string two = "cifar-10-batches-1-2.tar.xz", four = "cifar-10-batches-3-4.tar.xz", last = "cifar-10-batches-5-test.tar.xz";
  const auto batch = [](const std::string& file, const std::string& md5, const std::string& archive) {
    return CifarBatch{file, md5, kBatchBytes, {archive, kPublishedArchive}};
  };
  check(split == "train" || split == "test", "cifar10_batches: split is \"{}\", wanted train or test", split);
  if (split == "test") return {batch("test_batch.bin", "803d5f7f4d78ea53de84dbe85f74fb6d", last)};
  return {batch("data_batch_1.bin", "5dd7e06a14cb22eb9f671a540d1b7c25", two), batch("data_batch_2.bin", "5ea93a67294ea407fff1d09f752e9692", two),
          batch("data_batch_3.bin", "942cd6a4bcdd0dd3c604fbe906cb4421", four), batch("data_batch_4.bin", "ae636b3ba5c66a11e91e8cb52e771fcb", four),
          batch("data_batch_5.bin", "53f37980c15c3d472c316c40844f3f0d", last)};
}

fs::path cifar10_folder() { return data_folder() / "cifar10"; }

LabelledImages load_cifar_batches(const fs::path& folder, const std::vector<CifarBatch>& batches) {
  std::map<fs::path, std::vector<CifarBatch>> packed;  // by archive
  for (const CifarBatch& batch : batches)
    if (plain_file(folder, batch).empty()) packed[archive_of(folder, batch)].push_back(batch);
  // Unpacking is bound by the processor: one thread an archive, of which there are at most three.
  std::vector<std::future<BatchesByName>> running;
  for (const auto& [archive, inside] : packed) running.push_back(std::async(std::launch::async, read_batches, archive, inside));
  BatchesByName found;
  for (std::future<BatchesByName>& part : running) found.merge(part.get());
  std::vector<at::Tensor> images, labels;
  for (const CifarBatch& batch : batches) {
    if (!found.contains(batch.file)) {
      const MappedFile file(plain_file(folder, batch));
      found[batch.file] = checked_batch(std::as_bytes(std::span(file.bytes())), batch, plain_file(folder, batch).string());
    }
    images.push_back(found.at(batch.file).images);
    labels.push_back(found.at(batch.file).labels);
  }
  return {at::cat(images), at::cat(labels)};
}

LabelledImages load_cifar10(const std::string& split, const fs::path& folder) {
  return load_cifar_batches(folder.empty() ? cifar10_folder() : folder, cifar10_batches(split));
}

}  // namespace linden
