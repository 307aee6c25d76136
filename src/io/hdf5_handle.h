// What the HDF5 reader and writer share: owned identifiers, one lock, error texts. Internal to src/io.
#pragma once

#include <hdf5.h>

#include <mutex>
#include <string>
#include <utility>

namespace linden {

// HDF5's serial build is not thread-safe: whoever calls it holds this lock.
std::unique_lock<std::mutex> lock_hdf5();

// An HDF5 identifier that is closed with the object.
class Hdf5Handle {
 public:
  using Close = herr_t (*)(hid_t);
  Hdf5Handle() = default;
  Hdf5Handle(hid_t id, Close close) : id_(id), close_(close) {}
  Hdf5Handle(Hdf5Handle&& other) noexcept : id_(std::exchange(other.id_, -1)), close_(other.close_) {}
  Hdf5Handle& operator=(Hdf5Handle&& other) noexcept {
    std::swap(id_, other.id_);
    std::swap(close_, other.close_);
    return *this;
  }
  ~Hdf5Handle() { close(); }

  operator hid_t() const { return id_; }
  bool valid() const { return id_ >= 0; }
  // False where closing failed: the last bytes may not be on the disk.
  bool close() { return id_ < 0 || close_(std::exchange(id_, -1)) >= 0; }

 private:
  hid_t id_ = -1;
  Close close_ = nullptr;
};

// HDF5's own account of what failed in the call before this one ("truncated file: eof = 7464 ..."): any other
// call of HDF5 in between, the closing of a handle too, clears it.
std::string hdf5_error_text();

// A property list for opening: no file locks, which network disks often lack.
Hdf5Handle hdf5_file_access();

}  // namespace linden
