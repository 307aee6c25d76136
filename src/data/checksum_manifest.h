// SHA256SUMS: the list that sha256sum writes (`cd FOLDER && sha256sum *.png > SHA256SUMS`), one line a file: its SHA-256, two
// spaces (or a space and an asterisk), its path below the folder.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace linden {

inline constexpr const char* kChecksumManifest = "SHA256SUMS";

// Sums by path. InputError: a line of another form (which), a path that leaves the folder, a path that comes twice.
std::map<std::string, std::string> parse_checksum_manifest(std::string_view text, const std::string& origin);

// Compares the folder with its SHA256SUMS. `files` are paths below the folder that must be listed. Nothing happens where there
// is no SHA256SUMS. InputError: a listed file that is missing or whose sum differs (got, wanted), a file that is not listed.
void verify_checksums(const std::filesystem::path& folder, const std::vector<std::string>& files);
// Writes SHA256SUMS for `files`.
void write_checksums(const std::filesystem::path& folder, const std::vector<std::string>& files);

}  // namespace linden
