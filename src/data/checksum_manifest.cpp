#include "data/checksum_manifest.h"

#include <algorithm>
#include <span>

#include "core/error.h"
#include "core/files.h"
#include "io/digest.h"
#include "io/mapped_file.h"

namespace linden {
namespace {

namespace fs = std::filesystem;

constexpr size_t kSumDigits = 64;

std::string sum_of(const fs::path& file) {
  const MappedFile bytes(file);
  return sha256_hex(std::as_bytes(std::span(bytes.bytes())));
}

bool stays_inside(const fs::path& path) { return path.is_relative() && std::find(path.begin(), path.end(), "..") == path.end(); }

}  // namespace

std::map<std::string, std::string> parse_checksum_manifest(std::string_view text, const std::string& origin) {
  std::map<std::string, std::string> sums;
  for (int64_t number = 1; !text.empty(); ++number) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    const bool is_sum = line.size() > kSumDigits + 2 && line.find_first_not_of("0123456789abcdef") == kSumDigits && line[kSumDigits] == ' ' &&
                        (line[kSumDigits + 1] == ' ' || line[kSumDigits + 1] == '*');
    check_input(is_sum, "{}: line {} is not \"<64 hexadecimal digits>  <path>\" as sha256sum writes it", origin, number);
    const std::string path = fs::path(line.substr(kSumDigits + 2)).lexically_normal().string();
    check_input(stays_inside(path), "{}: line {} names {}, which is not in this folder", origin, number, path);
    check_input(sums.emplace(path, line.substr(0, kSumDigits)).second, "{}: line {} names {} a second time", origin, number, path);
  }
  return sums;
}

void verify_checksums(const fs::path& folder, const std::vector<std::string>& files) {
  const fs::path manifest = folder / kChecksumManifest;
  if (!fs::exists(manifest)) return;
  const auto sums = parse_checksum_manifest(read_text_file(manifest), manifest.string());
  for (const auto& [path, wanted] : sums) {
    check_input(fs::exists(folder / path), "{}: missing, but {} lists it", (folder / path).string(), manifest.string());
    const std::string got = sum_of(folder / path);
    check_input(got == wanted, "{}: its SHA-256 is {}, wanted {} ({}): the file is damaged or was changed", (folder / path).string(), got, wanted,
                manifest.string());
  }
  for (const std::string& file : files)
    check_input(sums.contains(file), "{}: {} does not list it; remove the image, or write the list anew", (folder / file).string(), manifest.string());
}

void write_checksums(const fs::path& folder, const std::vector<std::string>& files) {
  std::string text;
  for (const std::string& file : files) text += fmt::format("{}  {}\n", sum_of(folder / file), file);
  write_file_atomically(folder / kChecksumManifest, text);
}

}  // namespace linden
