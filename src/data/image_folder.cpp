#include "data/image_folder.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "core/error.h"
#include "io/png.h"

namespace linden {
namespace {

namespace fs = std::filesystem;

bool is_hidden(const fs::path& path) { return path.filename().string().starts_with("."); }

// Names in `folder`, sorted: PNG files or sub-folders.
std::vector<std::string> names_in(const fs::path& folder, bool sub_folders) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const bool wanted = sub_folders ? entry.is_directory() : entry.path().extension() == ".png" && !entry.is_directory();
    if (wanted && !is_hidden(entry.path())) names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

void add_classes(ImageFolder& found) {
  std::vector<std::string> empty;
  for (const std::string& name : names_in(found.folder, true)) {
    const std::vector<std::string> images = names_in(found.folder / name, false);
    if (images.empty()) empty.push_back(name);
    for (const std::string& image : images) found.files.push_back(name + "/" + image);
    found.labels.resize(found.files.size(), static_cast<int64_t>(found.class_names.size()));
    found.class_names.push_back(name);
  }
  if (found.files.empty()) found.class_names.clear();
  check_input(found.files.empty() || empty.empty(), "{}: the class folder {} holds no PNG file; remove it, or put its images there", found.folder.string(),
              fmt::join(empty, ", "));
}

}  // namespace

ImageFolder list_image_folder(const fs::path& folder) {
  check_input(fs::is_directory(folder), "{}: no such folder", folder.string());
  ImageFolder found{folder, {}, {}, {}};
  const std::vector<std::string> images = names_in(folder, false);
  if (images.empty()) {
    add_classes(found);
  } else {
    for (const std::string& name : names_in(folder, true))
      check_input(names_in(folder / name, false).empty(), "{}: PNG files lie both in the folder itself ({}) and in its sub-folder {}: which of them are meant?",
                  folder.string(), images[0], name);
    found.files = images;
  }
  check_input(!found.files.empty(), "{}: no PNG file in this folder or in class folders below it", folder.string());
  return found;
}

at::Tensor read_folder_image(const ImageFolder& folder, size_t index, at::IntArrayRef shape) {
  const fs::path file = folder.folder / folder.files[index];
  at::Tensor image = read_png(file);
  check_input(image.sizes() == shape, "{}: this image is [{}], but {} is [{}]: all images of a folder must have one size", file.string(),
              fmt::join(image.sizes(), ", "), folder.files[0], fmt::join(shape, ", "));
  return image;
}

std::vector<int64_t> image_shape(const ImageFolder& folder) { return read_png(folder.folder / folder.files[0]).sizes().vec(); }

LabelledImages load_image_folder(const ImageFolder& folder) {
  std::vector<int64_t> shape = image_shape(folder);
  const at::IntArrayRef one_shape = shape;
  std::vector<int64_t> sizes = {static_cast<int64_t>(folder.files.size())};
  sizes.insert(sizes.end(), shape.begin(), shape.end());
  LabelledImages set{at::empty(sizes, at::kByte), folder.labels.empty() ? at::Tensor() : at::tensor(folder.labels, at::kLong)};
  for (size_t i = 0; i < folder.files.size(); ++i) set.images[static_cast<int64_t>(i)].copy_(read_folder_image(folder, i, one_shape));
  return set;
}

}  // namespace linden
