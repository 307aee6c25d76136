// PNG pictures with text metadata, and contact sheets. libpng.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <map>
#include <string>

namespace linden {

// image [C, Y, X] u8, C in {1, 3}. `text`: keywords of tEXt chunks (seed, config hash ...).
void write_png(const std::filesystem::path& path, const at::Tensor& image, const std::map<std::string, std::string>& text = {});
std::string encode_png(const at::Tensor& image, const std::map<std::string, std::string>& text = {});
// [C, Y, X] u8; palettes, 16-bit and alpha are converted. InputError on anything damaged.
at::Tensor read_png(const std::filesystem::path& path, std::map<std::string, std::string>* text = nullptr);

// images [S, C, Y, X] in [-1, 1] (any float) -> [C, rows, columns] u8 with `gap` grey pixels between, `scale` x nearest.
// columns = 0: about square.
at::Tensor contact_sheet(const at::Tensor& images, int64_t columns = 0, int64_t scale = 1, int64_t gap = 2);

}  // namespace linden
