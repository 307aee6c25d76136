#include "io/pending_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <stdexcept>

namespace linden {

PendingFile::PendingFile(const std::filesystem::path& target) : target_(target) {
  static std::atomic<int> counter{0};
  temporary_ = target_;
  temporary_ += fmt::format(".tmp.{}.{}", getpid(), counter++);
  descriptor_ = ::open(temporary_.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (descriptor_ < 0) fail("cannot be created");
}

PendingFile::~PendingFile() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  ::unlink(temporary_.c_str());
}

void PendingFile::write(const void* data, size_t num_bytes) {
  const char* next = static_cast<const char*>(data);
  while (num_bytes > 0) {
    const ssize_t written = ::write(descriptor_, next, num_bytes);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail("cannot be written");
    next += written;
    num_bytes -= static_cast<size_t>(written);
  }
}

void PendingFile::commit() {
  if (::fsync(descriptor_) != 0) fail("cannot be synced");
  if (::rename(temporary_.c_str(), target_.c_str()) != 0) fail("cannot be put in place");
  ::close(descriptor_);
  descriptor_ = -1;
  // The rename itself reaches the disk with the folder; some file systems refuse, which harms nobody.
  const auto folder = target_.has_parent_path() ? target_.parent_path() : std::filesystem::path(".");
  const int folder_descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder_descriptor < 0) return;
  ::fsync(folder_descriptor);
  ::close(folder_descriptor);
}

void PendingFile::fail(const char* action) const {
  const int reason = errno;
  throw std::runtime_error(fmt::format("{}: {}: {} (a file that stood there before is unchanged)", target_.string(), action, std::strerror(reason)));
}

}  // namespace linden
