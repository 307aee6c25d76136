// Text files and folders, written so that a full disk or a kill loses nothing.
#pragma once

#include <filesystem>
#include <string>

namespace linden {

// Writes `text` to a temporary name beside `file`, syncs and renames: on a full disk or a kill the
// old file survives. Throws std::runtime_error with the reason.
void write_file_atomically(const std::filesystem::path& file, const std::string& text);
// Removes a folder and all in it; nothing happens if there is none. Not std::filesystem::remove_all, which LibTorch
// shadows with its own (see cmake/LindenTargets.cmake). Throws std::runtime_error.
void remove_folder(const std::filesystem::path& folder);
std::string read_text_file(const std::filesystem::path& file);  // throws InputError

}  // namespace linden
