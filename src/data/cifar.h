// CIFAR-10, binary version: six files of 10,000 records each, 1 label byte and the red, green and blue planes of a 32x32
// image. Format, files and origin: https://www.cs.toronto.edu/~kriz/cifar.html (Krizhevsky 2009).
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "data/labelled_images.h"

namespace linden {

inline constexpr int64_t kCifarRecordBytes = 1 + 3 * 32 * 32;

// images [S, 3, 32, 32], labels 0..9. `origin` names the bytes in messages. InputError: no whole number of records, none,
// a label above 9 (which record).
LabelledImages parse_cifar_records(std::span<const std::byte> bytes, const std::string& origin);

// One file of the set, and the archives that may hold it, the likeliest first.
struct CifarBatch {
  std::string file;
  std::string md5;
  size_t num_bytes = 0;
  std::vector<std::string> archives;
};
// Those of "train" (five) and of "test" (one).
std::vector<CifarBatch> cifar10_batches(const std::string& split);

// <data folder>/cifar10.
std::filesystem::path cifar10_folder();

// The batches in their order, each from <folder>/<file>, <folder>/cifar-10-batches-bin/<file>, or out of an archive in
// <folder> (unpacked in memory: 2 s for two batches; nothing is kept on disk). Every batch is compared with its MD5 sum.
// InputError: a file that is nowhere (the message says what to put where), of another size or sum, a damaged archive.
LabelledImages load_cifar_batches(const std::filesystem::path& folder, const std::vector<CifarBatch>& batches);
// "train" (50,000) or "test" (10,000); `folder` empty: cifar10_folder().
LabelledImages load_cifar10(const std::string& split, const std::filesystem::path& folder = {});

}  // namespace linden
