#include "io/hdf5_handle.h"

#include <fmt/format.h>

namespace linden {
namespace {

// Keeps the innermost account and the system's own words where it has any.
herr_t collect(unsigned depth, const H5E_error2_t* error, void* data) {
  auto& text = *static_cast<std::string*>(data);
  const std::string line = error->desc ? error->desc : "";
  if (!line.empty() && (depth == 0 || text.empty())) text = line;
  return 0;
}

}  // namespace

std::unique_lock<std::mutex> lock_hdf5() {
  static std::mutex mutex;
  std::unique_lock<std::mutex> lock(mutex);
  static const bool quiet = H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr) >= 0;  // its text goes into our messages
  (void)quiet;
  return lock;
}

std::string hdf5_error_text() {
  std::string text;
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, collect, &text);
  H5Eclear2(H5E_DEFAULT);
  if (text.empty()) return "no reason given by HDF5";
  if (text.size() > 400) text = text.substr(0, 400) + " ...";
  return text;
}

Hdf5Handle hdf5_file_access() {
  Hdf5Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
#if H5_VERSION_GE(1, 10, 7)
  H5Pset_file_locking(access, false, true);
#endif
  H5Pset_fclose_degree(access, H5F_CLOSE_STRONG);
  return access;
}

}  // namespace linden
