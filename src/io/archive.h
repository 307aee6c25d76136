// Members of a tar archive (plain, or packed by gzip, bzip2, xz or zstd), unpacked in memory. libarchive, where linden was
// built with it.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace linden {

// "libarchive 3.6.2"; "" in a build without it, in which read_archive always throws.
std::string archive_library();

struct ArchiveMember {
  std::string name;      // the last part of its path in the archive: "a.bin" is also found as "folder/a.bin"
  size_t num_bytes = 0;  // its exact size
};
// The bytes of each wanted member, by name. One pass; ends as soon as all are found.
// InputError: no such file, not a tar archive, damaged, a member that is missing or of another size (got, wanted), or a build
// without libarchive: the message says what to install, or the tar command that unpacks the archive.
std::map<std::string, std::vector<std::byte>> read_archive(const std::filesystem::path& file, const std::vector<ArchiveMember>& wanted);

}  // namespace linden
