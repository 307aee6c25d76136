// A folder of PNG files, or of one sub-folder a class: folder/cat/1.png, folder/dog/1.png. Classes are numbered in the order
// of their names.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "data/labelled_images.h"

namespace linden {

struct ImageFolder {
  std::filesystem::path folder;
  std::vector<std::string> files;        // below the folder, in the order of classes and names: "cat/1.png"
  std::vector<std::string> class_names;  // empty where the images lie in the folder itself
  std::vector<int64_t> labels;           // of each file; empty without classes
};

// What lies there. Names that start with a dot are passed over. InputError: no such folder, no PNG file, images both in the
// folder and in sub-folders, a class without an image. Nothing is read: verify_checksums (checksum_manifest.h) does that.
ImageFolder list_image_folder(const std::filesystem::path& folder);

// One image: [C, Y, X] u8. InputError: no PNG, damaged, another shape than `shape`, that of
// files[0] (both names, both shapes).
at::Tensor read_folder_image(const ImageFolder& folder, size_t index, at::IntArrayRef shape);
// Shape of the first image: C, Y, X.
std::vector<int64_t> image_shape(const ImageFolder& folder);

// All images of one shape.
LabelledImages load_image_folder(const ImageFolder& folder);

}  // namespace linden
