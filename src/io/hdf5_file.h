// An HDF5 file that is open in this process. HDF5 itself can crash on a damaged file, so Hdf5Reader has this run in
// a process of its own (hdf5_process.h). Internal to src/io. The caller holds lock_hdf5().
#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "io/hdf5_handle.h"

namespace linden {

// A dataset that was checked and can be read: what it claims fits what the file holds.
struct Hdf5Array {
  Hdf5Handle dataset;
  hid_t memory = -1;                  // HDF5's type of the elements in memory
  at::ScalarType dtype = at::kFloat;  // the same, for tensors
  std::vector<int64_t> shape;
  uint64_t num_bytes = 0;  // in memory
};

// Every failure is an InputError that names the file and the dataset or attribute; see hdf5.h.
class Hdf5File {
 public:
  explicit Hdf5File(const std::filesystem::path& path);

  const std::set<std::string>& names() const { return names_; }
  Hdf5Array open(const std::string& name) const;
  void read(const std::string& name, const Hdf5Array& array, void* target) const;  // array.num_bytes bytes
  std::string text_attribute(const std::string& name) const;
  int64_t integer_attribute(const std::string& name) const;
  double real_attribute(const std::string& name) const;

 private:
  std::string where(const std::string& name) const;
  std::vector<hsize_t> shape_of(const std::string& name, hid_t space) const;
  void check_storage(const std::string& name, hid_t dataset, hid_t space, const std::vector<hsize_t>& shape, uint64_t element_bytes) const;
  uint64_t chunked_bytes(const std::string& name, hid_t dataset, hid_t space, hid_t properties, const std::vector<hsize_t>& shape,
                         uint64_t element_bytes) const;
  Hdf5Handle open_attribute(const std::string& name) const;
  template <class Value>
  Value number_attribute(const std::string& name, bool real) const;

  std::filesystem::path path_;
  uint64_t file_bytes_ = 0;
  Hdf5Handle file_;
  std::set<std::string> names_;
};

}  // namespace linden
