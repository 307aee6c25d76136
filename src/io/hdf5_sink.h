// The HDF5 file driver that linden writes through. HDF5 does not survive a write that fails: the close that
// follows fails too and leaves a freed file behind, over which the library falls when the process ends. To
// this driver a failed write is a success; it remembers the reason, which the writer reports, keeps the
// metadata that come after it in memory, so that HDF5 reads what it wrote, and drops the arrays.
// Internal to src/io.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "io/hdf5_handle.h"

namespace linden {

// The open file that HDF5 writes into, and what became of it. Outlives the HDF5 file.
struct Hdf5Sink {
  int descriptor = -1;                    // open for reading and writing; owned by others
  int error = 0;                          // errno of the first write that failed; 0: all is well
  uint64_t end = 0;                       // one past the last byte that HDF5 wrote
  std::map<uint64_t, std::string> pages;  // metadata since the failure, by page number
};

// Access properties with which H5Fcreate writes into `sink`, whatever name it is given.
Hdf5Handle hdf5_sink_access(Hdf5Sink& sink);

}  // namespace linden
