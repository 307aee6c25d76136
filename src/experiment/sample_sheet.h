// The picture of a set of samples: a contact sheet of images, or a scatter plot of 2-D points.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <map>
#include <string>

namespace linden {

// samples: [S, C, Y, X] in [-1, 1] -> folder/samples.png of the first `count`; [S, C, F, Y, X] -> one clip a row; [S, 2] ->
// folder/samples.svg; other
// shapes have no picture. Returns the file, or an empty path.
std::filesystem::path write_sample_sheet(const std::filesystem::path& folder, const at::Tensor& samples, int64_t count,
                                         const std::map<std::string, std::string>& text);

}  // namespace linden
