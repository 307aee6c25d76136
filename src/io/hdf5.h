// HDF5 files of named arrays, scalars and attributes: sample sets (samples.h5) and trees (tree.h5).
// Chunked; written under a temporary name and renamed by close(), so that a kill or a full disk leaves
// the old file. Failures are InputError (reading) or std::runtime_error (writing), with file and dataset.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace linden {

class Hdf5Writer {
 public:
  explicit Hdf5Writer(const std::filesystem::path& path);
  ~Hdf5Writer();                                                       // without close(): the temporary file is removed
  void write(const std::string& name, const at::Tensor& array);        // u8, i32, i64, f16 (as f32), f32, f64; any shape
  void attribute(const std::string& name, const std::string& value);   // on the root group
  void attribute(const std::string& name, int64_t value);
  void attribute(const std::string& name, double value);
  void close();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

class Hdf5Reader {
 public:
  explicit Hdf5Reader(const std::filesystem::path& path);
  ~Hdf5Reader();
  std::vector<std::string> names() const;
  bool contains(const std::string& name) const;
  at::Tensor read(const std::string& name) const;
  std::string text_attribute(const std::string& name) const;
  int64_t integer_attribute(const std::string& name) const;
  double real_attribute(const std::string& name) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace linden
