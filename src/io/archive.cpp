#include "io/archive.h"

#include "core/error.h"

#if defined(LINDEN_HAS_LIBARCHIVE)

#include <archive.h>
#include <archive_entry.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <memory>

namespace linden {
namespace {

namespace fs = std::filesystem;

constexpr size_t kReadBytes = 1 << 18;

class Reader {
 public:
  explicit Reader(const fs::path& file) : origin_(file.string()), archive_(archive_read_new(), archive_read_free) {
    if (!archive_) throw std::runtime_error("libarchive cannot start");
    // These and no more: for rarer packers libarchive would start programs of the system.
    archive_read_support_filter_gzip(archive_.get());
    archive_read_support_filter_bzip2(archive_.get());
    archive_read_support_filter_xz(archive_.get());
    archive_read_support_filter_zstd(archive_.get());
    archive_read_support_format_tar(archive_.get());
    check_input(fs::is_regular_file(file), "{}: no such file", origin_);
    require(archive_read_open_filename(archive_.get(), file.c_str(), kReadBytes));
  }

  // The next member that is a file, or nullptr at the end.
  archive_entry* next() {
    archive_entry* entry = nullptr;
    while (true) {
      const int status = archive_read_next_header(archive_.get(), &entry);
      if (status == ARCHIVE_EOF) return nullptr;
      require(status);
      if (archive_entry_filetype(entry) == AE_IFREG) return entry;
    }
  }

  // All of the current member, which must have `num_bytes`; no more than that is ever kept in memory.
  std::vector<std::byte> read(const std::string& name, size_t num_bytes) {
    std::vector<std::byte> bytes(num_bytes + 1);  // one more: to notice a longer one
    size_t done = 0;
    while (done < bytes.size()) {
      const la_ssize_t count = archive_read_data(archive_.get(), bytes.data() + done, bytes.size() - done);
      if (count < 0) require(static_cast<int>(count));
      if (count <= 0) break;
      done += static_cast<size_t>(count);
    }
    check_input(done == num_bytes, "{}: its member {} has {}{} bytes, wanted {}", origin_, name, done > num_bytes ? "more than " : "",
                std::min(done, num_bytes), num_bytes);
    bytes.resize(num_bytes);
    return bytes;
  }

 private:
  void require(int status) const {
    if (status == ARCHIVE_OK || status == ARCHIVE_WARN) return;
    const char* reason = archive_error_string(archive_.get());
    throw InputError(fmt::format("{}: the archive cannot be read (damaged, or not a tar archive): {}", origin_, reason ? reason : "no reason given"));
  }

  std::string origin_;
  std::unique_ptr<archive, int (*)(archive*)> archive_;
};

}  // namespace

std::string archive_library() { return archive_version_string(); }

std::map<std::string, std::vector<std::byte>> read_archive(const fs::path& file, const std::vector<ArchiveMember>& wanted) {
  Reader reader(file);
  std::map<std::string, std::vector<std::byte>> found;
  std::vector<std::string> others;
  while (found.size() < wanted.size()) {
    archive_entry* entry = reader.next();
    if (!entry) break;
    const char* path = archive_entry_pathname(entry);
    const std::string name = path ? fs::path(path).filename().string() : "";
    const auto member = std::find_if(wanted.begin(), wanted.end(), [&](const ArchiveMember& m) { return m.name == name; });
    if (member == wanted.end()) {
      others.push_back(name);
    } else if (!found.contains(name)) {
      found[name] = reader.read(name, member->num_bytes);
    }
  }
  for (const ArchiveMember& member : wanted) {
    if (found.contains(member.name)) continue;
    for (const auto& [name, bytes] : found) others.push_back(name);
    throw InputError(fmt::format("{}: the archive has no member {}; it holds: {}", file.string(), member.name,
                                 others.empty() ? "nothing" : fmt::format("{}", fmt::join(others, ", "))));
  }
  return found;
}

}  // namespace linden

#else

namespace linden {

std::string archive_library() { return ""; }

std::map<std::string, std::vector<std::byte>> read_archive(const std::filesystem::path& file, const std::vector<ArchiveMember>&) {
  throw InputError(
      fmt::format("{0}: this linden was built without libarchive and reads no archives; unpack it: tar -C {1} -xf {0}, or bring "
                  "libarchive (apt-get install libarchive-dev) and build again",
                  file.string(), file.has_parent_path() ? file.parent_path().string() : "."));
}

}  // namespace linden

#endif
