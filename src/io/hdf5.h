// HDF5 files of named arrays, scalars and attributes: sample sets (samples.h5) and trees (tree.h5).
// Chunked; written under a temporary name and renamed by close(), so that a kill or a full disk leaves
// the old file. Failures are InputError (reading) or std::runtime_error (writing), with file and dataset.
// A name may lead through groups: "tree/parent".
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
  ~Hdf5Writer();  // without close(): the temporary file is removed
  // u8, i8, i16, i32, i64, f32, f64; f16 and bf16 as f32, bool as u8; any shape, CPU or GPU.
  void write(const std::string& name, const at::Tensor& array);
  // The same in one piece and uncompressed, for arrays that are mapped instead of read. Returns the byte of the file at which
  // the elements start.
  int64_t write_plain(const std::string& name, const at::Tensor& array);
  void attribute(const std::string& name, const std::string& value);  // on the root group
  void attribute(const std::string& name, int64_t value);
  void attribute(const std::string& name, double value);
  void close();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Where HDF5 works while a file is read. It crashes on some damaged files: in a process of its own that, too, is an
// InputError. kNone, in this process, is for files that cannot be damaged, and for tests.
enum class Hdf5Isolation { kProcess, kNone };

// For one thread at a time.
class Hdf5Reader {
 public:
  explicit Hdf5Reader(const std::filesystem::path& path, Hdf5Isolation isolation = Hdf5Isolation::kProcess);
  ~Hdf5Reader();
  std::vector<std::string> names() const;  // of all datasets, with their groups, sorted
  bool contains(const std::string& name) const;
  // Integers keep their size (u16 and u32 widen to i32 and i64), f16 becomes f32. InputError also for a dataset
  // that was not written whole, lies outside the file, or has other elements or filters.
  at::Tensor read(const std::string& name) const;
  std::string text_attribute(const std::string& name) const;
  int64_t integer_attribute(const std::string& name) const;
  double real_attribute(const std::string& name) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace linden
