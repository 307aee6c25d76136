// PNG pictures with text metadata, and contact sheets. libpng.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <map>
#include <string>

namespace linden {

// image [C, Y, X] u8, C in {1, 3}, at most 2^28 pixels. `text`: keyword (1 to 79 ASCII characters) to UTF-8 text
// (seed, config hash ...). Written under a temporary name and renamed; std::runtime_error with the reason.
void write_png(const std::filesystem::path& path, const at::Tensor& image, const std::map<std::string, std::string>& text = {});
std::string encode_png(const at::Tensor& image, const std::map<std::string, std::string>& text = {});
// [C, Y, X] u8: 1 channel for grey, else 3. 16 bits are scaled to 8, palettes looked up, alpha dropped (as Pillow's
// convert("RGB") does). InputError on anything damaged (checksums are checked) and on more than 2^28 pixels.
at::Tensor read_png(const std::filesystem::path& path, std::map<std::string, std::string>* text = nullptr);

// images [S, C, Y, X] in [-1, 1] (any float), C in {1, 3} -> [C, rows, columns] u8 with `gap` grey pixels between,
// each pixel drawn `scale` x `scale`. columns = 0: about square. NaN is black.
at::Tensor contact_sheet(const at::Tensor& images, int64_t columns = 0, int64_t scale = 1, int64_t gap = 2);

// video [B, C, F, Y, X] in [-1, 1] -> a contact sheet with one clip a row, its frames from left to right.
at::Tensor clip_sheet(const at::Tensor& video, int64_t scale = 1, int64_t gap = 2);

}  // namespace linden
