// Small text files, written so that a full disk or a kill leaves the old one.
#include <fcntl.h>
#include <ftw.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>
#include <utility>

#include "core/error.h"
#include "core/files.h"

namespace linden {
namespace {

namespace fs = std::filesystem;

// Closes the descriptor and, unless keep() was called, removes the temporary file.
class TemporaryFile {
 public:
  explicit TemporaryFile(fs::path path) : path_(std::move(path)), descriptor_(open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)) {}
  ~TemporaryFile() {
    close_descriptor();
    std::error_code ignored;
    if (!kept_) fs::remove(path_, ignored);
  }
  bool write_all(const std::string& text) const {
    size_t done = 0;
    while (done < text.size()) {
      const ssize_t count = ::write(descriptor_, text.data() + done, text.size() - done);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return false;
      done += static_cast<size_t>(count);
    }
    return fsync(descriptor_) == 0;
  }
  bool close_descriptor() {
    const int descriptor = std::exchange(descriptor_, -1);
    return descriptor < 0 || close(descriptor) == 0;
  }
  bool is_open() const { return descriptor_ >= 0; }
  void keep() { kept_ = true; }

 private:
  fs::path path_;
  int descriptor_;
  bool kept_ = false;
};

}  // namespace

void write_file_atomically(const fs::path& file, const std::string& text) {
  fs::path temporary = file;
  temporary += ".tmp";
  const auto fail = [&](const char* what) {
    const std::string reason = std::strerror(errno);
    throw std::runtime_error(
        fmt::format("{}: cannot {}: {}; {}", file.string(), what, reason, fs::exists(file) ? "the old file is unchanged" : "no file was written"));
  };
  TemporaryFile out(temporary);
  if (!out.is_open()) fail("open a temporary file beside it");
  if (!out.write_all(text) || !out.close_descriptor()) fail("write");
  if (rename(temporary.c_str(), file.c_str()) != 0) fail("rename the temporary file");
  out.keep();
  const fs::path folder = file.has_parent_path() ? file.parent_path() : fs::path(".");
  if (const int descriptor = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); descriptor >= 0) {
    fsync(descriptor);  // the new name itself reaches the disk
    close(descriptor);
  }
}

std::string read_text_file(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  check_input(in.good() && !fs::is_directory(file), "{}: cannot read it: {}", file.string(), fs::is_directory(file) ? "it is a folder" : std::strerror(errno));
  std::ostringstream text;
  text << in.rdbuf();
  check_input(!in.bad(), "{}: reading stopped half-way: {}", file.string(), std::strerror(errno));
  return text.str();
}

void remove_folder(const std::filesystem::path& folder) {
  if (!std::filesystem::exists(folder)) return;
  const auto remove_one = [](const char* path, const struct stat*, int, struct FTW*) { return ::remove(path); };
  constexpr int kMaxOpenFolders = 16;
  if (nftw(folder.c_str(), remove_one, kMaxOpenFolders, FTW_DEPTH | FTW_PHYS) != 0)
    throw std::runtime_error(fmt::format("{}: cannot be removed: {}", folder.string(), std::strerror(errno)));
}

}  // namespace linden
