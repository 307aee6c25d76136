#include "io/hdf5_sink.h"

#include <sys/types.h>
#include <unistd.h>
#if H5_VERSION_GE(1, 13, 0)
#include <H5FDdevelop.h>
#endif

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <functional>
#include <iterator>
#include <new>

namespace linden {
namespace {

constexpr uint64_t kPageBytes = 4096;
constexpr haddr_t kMaxAddress = (haddr_t{1} << 62) - 1;

struct SinkFile {
  H5FD_t base;  // HDF5's part; first, so that pointers convert
  Hdf5Sink* sink;
  haddr_t allocated;
};

SinkFile& self(H5FD_t* file) { return *reinterpret_cast<SinkFile*>(file); }
const SinkFile& self(const H5FD_t* file) { return *reinterpret_cast<const SinkFile*>(file); }

// What the file holds; zeros past its end.
void read_file(const Hdf5Sink& sink, uint64_t address, char* target, size_t size) {
  while (size > 0) {
    const ssize_t count = ::pread(sink.descriptor, target, size, static_cast<off_t>(address));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    target += count;
    address += static_cast<uint64_t>(count);
    size -= static_cast<size_t>(count);
  }
  std::memset(target, 0, size);
}

// errno, or 0 where all bytes were written.
int write_file(const Hdf5Sink& sink, uint64_t address, const char* source, size_t size) {
  while (size > 0) {
    const ssize_t count = ::pwrite(sink.descriptor, source, size, static_cast<off_t>(address));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno;
    source += count;
    address += static_cast<uint64_t>(count);
    size -= static_cast<size_t>(count);
  }
  return 0;
}

// Calls action(page, offset in it, offset in the range, size) for the parts of a range.
template <class Action>
void for_each_page(uint64_t address, size_t size, Action&& action) {
  for (size_t done = 0; done < size;) {
    const uint64_t offset = (address + done) % kPageBytes;
    const size_t part = std::min<size_t>(size - done, kPageBytes - offset);
    action((address + done) / kPageBytes, offset, done, part);
    done += part;
  }
}

void keep(Hdf5Sink& sink, uint64_t address, const char* source, size_t size) {
  for_each_page(address, size, [&](uint64_t page, uint64_t offset, size_t done, size_t part) {
    auto [place, fresh] = sink.pages.try_emplace(page, kPageBytes, '\0');
    if (fresh) read_file(sink, page * kPageBytes, place->second.data(), kPageBytes);
    std::memcpy(place->second.data() + offset, source + done, part);
  });
}

// --- the driver's callbacks: no exception may leave them ---------------------------------------------

H5FD_t* open_sink(const char*, unsigned, hid_t access, haddr_t) {
  const auto* info = static_cast<Hdf5Sink* const*>(H5Pget_driver_info(access));
  auto* file = info ? new (std::nothrow) SinkFile{} : nullptr;
  if (file) file->sink = *info;
  return file ? &file->base : nullptr;
}

herr_t close_sink(H5FD_t* file) {
  delete &self(file);
  return 0;
}

int compare_sinks(const H5FD_t* a, const H5FD_t* b) {
  const std::less<const Hdf5Sink*> less;
  return less(self(a).sink, self(b).sink) ? -1 : less(self(b).sink, self(a).sink) ? 1 : 0;
}

herr_t query_sink(const H5FD_t*, unsigned long* flags) {
  *flags = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_AGGREGATE_SMALLDATA | H5FD_FEAT_DEFAULT_VFD_COMPATIBLE;
  return 0;
}

haddr_t allocated_end(const H5FD_t* file, H5FD_mem_t) { return self(file).allocated; }

herr_t set_allocated_end(H5FD_t* file, H5FD_mem_t, haddr_t address) {
  self(file).allocated = address;
  return 0;
}

haddr_t written_end(const H5FD_t* file, H5FD_mem_t) { return self(file).sink->end; }

herr_t read_sink(H5FD_t* file, H5FD_mem_t, hid_t, haddr_t address, size_t size, void* buffer) {
  const Hdf5Sink& sink = *self(file).sink;
  auto* target = static_cast<char*>(buffer);
  read_file(sink, address, target, size);
  if (sink.pages.empty()) return 0;
  for_each_page(address, size, [&](uint64_t page, uint64_t offset, size_t done, size_t part) {
    const auto kept = sink.pages.find(page);
    if (kept != sink.pages.end()) std::memcpy(target + done, kept->second.data() + offset, part);
  });
  return 0;
}

herr_t write_sink(H5FD_t* file, H5FD_mem_t type, hid_t, haddr_t address, size_t size, const void* buffer) {
  Hdf5Sink& sink = *self(file).sink;
  const auto* source = static_cast<const char*>(buffer);
  sink.end = std::max<uint64_t>(sink.end, address + size);
  if (sink.error == 0) sink.error = write_file(sink, address, source, size);
  if (sink.error == 0 || type == H5FD_MEM_DRAW) return 0;
  try {
    keep(sink, address, source, size);
  } catch (...) { return -1; }
  return 0;
}

herr_t truncate_sink(H5FD_t* file, hid_t, hbool_t) {
  SinkFile& sink_file = self(file);
  Hdf5Sink& sink = *sink_file.sink;
  if (sink.error == 0 && ::ftruncate(sink.descriptor, static_cast<off_t>(sink_file.allocated)) != 0) sink.error = errno;
  sink.end = sink_file.allocated;
  return 0;
}

// Registered once in a process, under the lock of lock_hdf5().
hid_t driver() {
  static const hid_t kDriver = [] {
    static H5FD_class_t callbacks{};
#if H5_VERSION_GE(1, 13, 0)
    callbacks.version = H5FD_CLASS_VERSION;
    callbacks.value = static_cast<H5FD_class_value_t>(512);  // the first that HDF5 leaves to others, for testing
#endif
    callbacks.name = "linden_sink";
    callbacks.maxaddr = kMaxAddress;
    callbacks.fc_degree = H5F_CLOSE_STRONG;
    callbacks.fapl_size = sizeof(Hdf5Sink*);
    callbacks.open = open_sink;
    callbacks.close = close_sink;
    callbacks.cmp = compare_sinks;
    callbacks.query = query_sink;
    callbacks.get_eoa = allocated_end;
    callbacks.set_eoa = set_allocated_end;
    callbacks.get_eof = written_end;
    callbacks.read = read_sink;
    callbacks.write = write_sink;
    callbacks.truncate = truncate_sink;
    const H5FD_mem_t kinds[] = H5FD_FLMAP_DICHOTOMY;  // metadata apart from arrays
    std::copy(std::begin(kinds), std::end(kinds), std::begin(callbacks.fl_map));
    return H5FDregister(&callbacks);
  }();
  return kDriver;
}

}  // namespace

Hdf5Handle hdf5_sink_access(Hdf5Sink& sink) {
  Hdf5Handle access = hdf5_file_access();
  Hdf5Sink* const info = &sink;
  H5Pset_driver(access, driver(), &info);
  return access;
}

}  // namespace linden
