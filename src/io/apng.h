// Animated PNG (PNG specification, third edition, 11.3.6: acTL, fcTL, fdAT): every browser plays it, and a reader that does not
// know of animations shows the first frame.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace linden {

// frames: [F, C, Y, X] u8, C in {1, 3}, F >= 1, shown for delay_ms each (1 .. 65,535), without end. `text`: as encode_png's.
std::string encode_apng(const at::Tensor& frames, int64_t delay_ms, const std::map<std::string, std::string>& text = {});
// Written under a temporary name and renamed; std::runtime_error with the reason.
void write_apng(const std::filesystem::path& path, const at::Tensor& frames, int64_t delay_ms, const std::map<std::string, std::string>& text = {});

// video [B, C, F, Y, X] in [-1, 1] -> [F, C, rows, columns] u8: one contact sheet a frame (see contact_sheet in png.h).
at::Tensor clip_grid(const at::Tensor& video, int64_t columns = 0, int64_t scale = 1, int64_t gap = 2);

// A web page of one file: heading, and each picture (bytes of a PNG) above its line of text.
std::string picture_page(const std::string& heading, const std::vector<std::pair<std::string, std::string>>& text_and_png);

}  // namespace linden
