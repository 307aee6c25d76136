// A file from outside, read by HDF5 in a process of its own. HDF5 crashes on some damaged files (an assertion, a
// wild pointer); there the crash is an answer, not the end of the run. Internal to src/io.
//
// The process is forked without exec, and that is safe although this one has threads and perhaps a CUDA context: the
// child has one thread, calls only HDF5, zlib and malloc (glibc makes malloc's locks anew in a child), touches neither
// LibTorch nor CUDA, and ends by _exit, so nobody's destructors run. HDF5 is in a sound state because the fork happens
// under its lock. Starting a program instead would cost the loading of LibTorch, 0.3 s a file.
// A fork costs 1 ms, and more where much memory is in use: 26 ms with 3 GB, a CUDA context and four busy threads.
#pragma once

#include <ATen/core/Tensor.h>
#include <sys/types.h>

#include <filesystem>
#include <set>
#include <string>

#include "core/error.h"

namespace linden {

class Hdf5Process {
 public:
  explicit Hdf5Process(const std::filesystem::path& path);
  ~Hdf5Process();
  Hdf5Process(const Hdf5Process&) = delete;

  // As Hdf5File's, and an InputError also where HDF5 crashed or did not come to an end.
  std::set<std::string> names();
  at::Tensor read(const std::string& name);
  std::string text_attribute(const std::string& name);
  int64_t integer_attribute(const std::string& name);
  double real_attribute(const std::string& name);

 private:
  std::string ask(char question, const std::string& name);
  template <class Value>
  Value ask_number(char question, const std::string& name);
  InputError ended(const std::string& name);

  std::filesystem::path path_;
  int socket_ = -1;  // questions and answers
  int data_ = -1;    // memory in which the child leaves an array's elements
  pid_t child_ = -1;
};

}  // namespace linden
