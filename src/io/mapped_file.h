// A file from outside, mapped into memory for reading.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string_view>

namespace linden {

class MappedFile {
 public:
  // InputError: missing, unreadable, not a regular file.
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  // Private pages: a write through data() changes this process's copy, never the file.
  char* data() const { return data_; }
  size_t size() const { return size_; }
  std::string_view bytes() const { return {data_, size_}; }
  // Gives the pages back to the system, for readers that walk through more than memory holds: the next access reads
  // them from the file again. What was written through data() is lost.
  void release_pages() const;

 private:
  char* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace linden
