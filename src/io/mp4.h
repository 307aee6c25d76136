// Video files that players and slides take: MP4 with H.264, or with MPEG-4 part 2 where no H.264 encoder is there. By FFmpeg's
// libraries (libavformat, libavcodec, libavutil, libswscale), where linden was built with them.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <string>

namespace linden {

// "libavcodec 59.37.100, libx264"; "" in a build without the libraries, and where they have no encoder, in which write_mp4 throws.
std::string mp4_library();
// Why there is none and what brings it; "" where there is one.
std::string no_mp4_reason();

// frames: [F, C, Y, X] u8, C in {1, 3}, F >= 1, shown for frame_ms each (1 .. 65,535). Odd rows and columns are doubled at the edge,
// since the format stores colour at half the resolution. Lossy: for looking at, not for measuring.
// Written under a temporary name and renamed. Throws std::runtime_error with the reason.
void write_mp4(const std::filesystem::path& path, const at::Tensor& frames, int64_t frame_ms);

}  // namespace linden
