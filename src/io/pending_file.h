// A file that grows under a temporary name beside its target and takes the target's place in one step:
// on a full disk, an exception or a kill the old file survives.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string_view>

namespace linden {

class PendingFile {
 public:
  // Creates the temporary file. std::runtime_error, with the system's reason, here and below.
  explicit PendingFile(const std::filesystem::path& target);
  ~PendingFile();  // without commit(): the temporary file is removed
  PendingFile(const PendingFile&) = delete;
  PendingFile& operator=(const PendingFile&) = delete;

  void write(const void* data, size_t num_bytes);
  void write(std::string_view bytes) { write(bytes.data(), bytes.size()); }
  // For libraries that write on their own: the open file (for reading and writing) and its name until commit().
  int descriptor() const { return descriptor_; }
  const std::filesystem::path& temporary() const { return temporary_; }
  const std::filesystem::path& target() const { return target_; }
  // fsync, rename, fsync of the folder.
  void commit();

 private:
  [[noreturn]] void fail(const char* action) const;  // with errno's text
  std::filesystem::path target_, temporary_;
  int descriptor_ = -1;
};

}  // namespace linden
