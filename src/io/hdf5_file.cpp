// Reading trusts no size in the file: what a dataset claims is held against what the file can hold before a
// byte is allocated, and only plain data inside the file is read (no external files, no virtual datasets,
// no filters that would load a plugin).
#include "io/hdf5_file.h"

#include <c10/core/ScalarType.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>

#include "core/error.h"
#include "io/mapped_file.h"

namespace linden {
namespace {

constexpr uint64_t kMaxDeflateRatio = 1100;  // zlib's is 1032
constexpr size_t kMaxLinks = 10'000, kMaxName = 4096;
constexpr int kMaxDepth = 32;

// For calls into HDF5: its own account of a failure joins the message.
void require(bool succeeded, const std::string& what) {
  if (!succeeded) throw InputError(what + ": " + hdf5_error_text());
}

// Gathers the names of the datasets that hard links lead to; soft and external links are not followed. One
// link after the other by its index, because H5Lvisit of HDF5 1.10 crashes on damaged tables of links.
class DatasetWalk {
 public:
  DatasetWalk(std::set<std::string>& names, std::string damaged) : names_(names), damaged_(std::move(damaged)) {}

  void visit(hid_t group, const std::string& prefix, int depth = 0) {
    H5G_info_t info{};
    require(H5Gget_info(group, &info) >= 0, damaged_);
    check_input(depth < kMaxDepth, "{}: groups are nested more than {} deep", damaged_, kMaxDepth);
    for (hsize_t i = 0; i < info.nlinks; ++i) {
      check_input(++num_links_ <= kMaxLinks, "{}: it has more than {} links", damaged_, kMaxLinks);
      const std::string name = link_name(group, i);
      H5L_info_t link{};
      require(H5Lget_info(group, name.c_str(), &link, H5P_DEFAULT) >= 0, damaged_);
      if (link.type != H5L_TYPE_HARD) continue;
      const Hdf5Handle object(H5Oopen(group, name.c_str(), H5P_DEFAULT), H5Oclose);
      require(object.valid(), damaged_);
      if (H5Iget_type(object) == H5I_DATASET) names_.insert(prefix + name);
      if (H5Iget_type(object) == H5I_GROUP) visit(object, prefix + name + "/", depth + 1);
    }
  }

 private:
  std::string link_name(hid_t group, hsize_t index) const {
    const auto get = [&](char* target, size_t size) { return H5Lget_name_by_idx(group, ".", H5_INDEX_NAME, H5_ITER_NATIVE, index, target, size, H5P_DEFAULT); };
    const auto length = get(nullptr, 0);
    require(length >= 0, damaged_);
    check_input(length > 0 && static_cast<size_t>(length) <= kMaxName, "{}: a link has a name of {} bytes", damaged_, length);
    std::string name(static_cast<size_t>(length) + 1, '\0');
    require(get(name.data(), name.size()) == length, damaged_);
    name.pop_back();
    return name;
  }

  std::set<std::string>& names_;
  std::string damaged_;
  size_t num_links_ = 0;
};

struct ReadType {
  at::ScalarType dtype;
  hid_t memory;
};

std::optional<ReadType> integer_type(size_t bytes, bool is_signed) {
  switch (bytes) {
    case 1: return is_signed ? ReadType{at::kChar, H5T_NATIVE_INT8} : ReadType{at::kByte, H5T_NATIVE_UINT8};
    case 2: return is_signed ? ReadType{at::kShort, H5T_NATIVE_INT16} : ReadType{at::kInt, H5T_NATIVE_INT32};
    case 4: return is_signed ? ReadType{at::kInt, H5T_NATIVE_INT32} : ReadType{at::kLong, H5T_NATIVE_INT64};
    case 8: return is_signed ? std::optional(ReadType{at::kLong, H5T_NATIVE_INT64}) : std::nullopt;
    default: return std::nullopt;
  }
}

std::optional<ReadType> read_type(hid_t type) {
  const size_t bytes = H5Tget_size(type);
  if (H5Tget_class(type) == H5T_INTEGER) return integer_type(bytes, H5Tget_sign(type) == H5T_SGN_2);
  if (H5Tget_class(type) != H5T_FLOAT) return std::nullopt;
  if (bytes == 2 || bytes == 4) return ReadType{at::kFloat, H5T_NATIVE_FLOAT};
  if (bytes == 8) return ReadType{at::kDouble, H5T_NATIVE_DOUBLE};
  return std::nullopt;
}

// True where every filter is one that HDF5 itself has (deflate, shuffle, checksum).
bool built_in_filters(hid_t properties, bool& deflated) {
  const int count = H5Pget_nfilters(properties);
  for (int i = 0; i < count; ++i) {
    unsigned flags = 0, config = 0;
    size_t values = 0;
    const H5Z_filter_t filter = H5Pget_filter2(properties, static_cast<unsigned>(i), &flags, &values, nullptr, 0, nullptr, &config);
    deflated = deflated || filter == H5Z_FILTER_DEFLATE;
    if (filter != H5Z_FILTER_DEFLATE && filter != H5Z_FILTER_SHUFFLE && filter != H5Z_FILTER_FLETCHER32) return false;
  }
  return count >= 0;
}

// Texts of variable length lie in global heaps ("GCOL"), and HDF5 1.10 goes round for ever in one whose objects do not
// lead to its end: each heap in the file is walked here first, as H5HG.c does it (HDF5 File Format Specification, III.E).
void check_global_heaps(hid_t file, const std::filesystem::path& path) {
  constexpr std::string_view kStart("GCOL\x01", 5);
  const Hdf5Handle properties(H5Fget_create_plist(file), H5Pclose);
  size_t address_bytes = 0, size_bytes = 0;
  require(H5Pget_sizes(properties, &address_bytes, &size_bytes) >= 0, path.string() + ": is damaged");
  check_input(size_bytes <= 8, "{}: is damaged: sizes of {} bytes", path.string(), size_bytes);
  const MappedFile mapped(path);
  const std::string_view bytes = mapped.bytes();
  const auto number = [&](size_t at, size_t width) {
    uint64_t value = 0;
    for (size_t i = 0; i < width; ++i) value |= static_cast<uint64_t>(static_cast<unsigned char>(bytes[at + i])) << (8 * i);
    return value;
  };
  const size_t header = 8 + size_bytes;  // of the heap, and of each object in it
  for (size_t start = bytes.find(kStart); start != std::string_view::npos; start = bytes.find(kStart, start + 1)) {
    const auto damaged = fmt::format("{}: is damaged: the global heap at byte {} does not hold together", path.string(), start);
    check_input(bytes.size() - start >= header, "{}", damaged);
    const uint64_t size = number(start + 8, size_bytes);
    check_input(size >= header && size <= bytes.size() - start, "{}", damaged);
    for (uint64_t at = header; size - at >= header;) {
      const uint64_t index = number(start + at, 2), content = number(start + at + 8, size_bytes);
      check_input(content <= size, "{}", damaged);
      const uint64_t step = index == 0 ? content : header + (content + 7) / 8 * 8;
      check_input(step >= header && step <= size - at, "{}", damaged);
      at += step;
    }
  }
}

}  // namespace

Hdf5File::Hdf5File(const std::filesystem::path& path) : path_(path) {
  std::error_code error;
  check_input(std::filesystem::is_regular_file(path, error), "{}: {}", path.string(),
              std::filesystem::exists(path, error) ? "is not a regular file" : "does not exist");
  file_bytes_ = std::filesystem::file_size(path, error);
  const Hdf5Handle access = hdf5_file_access();
  file_ = Hdf5Handle(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access), H5Fclose);
  const std::string damaged = path.string() + ": is damaged, cut short or not an HDF5 file";
  require(file_.valid(), damaged);
  DatasetWalk(names_, damaged).visit(file_, "");
}

std::string Hdf5File::where(const std::string& name) const { return fmt::format("{}: dataset '{}'", path_.string(), name); }

std::vector<hsize_t> Hdf5File::shape_of(const std::string& name, hid_t space) const {
  const int rank = H5Sget_simple_extent_type(space) == H5S_NULL ? -1 : H5Sget_simple_extent_ndims(space);
  require(rank >= 0, where(name) + " has no shape");
  std::vector<hsize_t> shape(static_cast<size_t>(rank));
  if (rank > 0) H5Sget_simple_extent_dims(space, shape.data(), nullptr);
  return shape;
}

// Bytes that all chunks of a dataset take when unpacked, after checking that none is missing.
uint64_t Hdf5File::chunked_bytes(const std::string& name, hid_t dataset, hid_t space, hid_t properties, const std::vector<hsize_t>& shape,
                                 uint64_t element_bytes) const {
  std::vector<hsize_t> chunk(shape.size());
  const int rank = H5Pget_chunk(properties, static_cast<int>(chunk.size()), chunk.data());
  check_input(rank == static_cast<int>(shape.size()), "{} has chunks of rank {}, wanted {}", where(name), rank, shape.size());
  uint64_t wanted = 1, bytes = element_bytes;
  bool overflow = false;
  for (size_t d = 0; d < shape.size(); ++d) {
    check_input(chunk[d] > 0, "{} has an empty chunk", where(name));
    const uint64_t along = shape[d] / chunk[d] + (shape[d] % chunk[d] != 0);
    overflow = overflow || __builtin_mul_overflow(wanted, along, &wanted) || __builtin_mul_overflow(bytes, chunk[d], &bytes);
  }
  overflow = overflow || __builtin_mul_overflow(wanted, bytes, &bytes);
  check_input(!overflow, "{}: the byte count of shape [{}] overflows", where(name), fmt::join(shape, ", "));
  hsize_t stored = 0;
  require(H5Dget_num_chunks(dataset, space, &stored) >= 0, where(name) + " has a damaged chunk index");
  check_input(stored == wanted, "{} has {} chunks, its shape [{}] needs {}: it was not written whole", where(name), stored, fmt::join(shape, ", "), wanted);
  return bytes;
}

void Hdf5File::check_storage(const std::string& name, hid_t dataset, hid_t space, const std::vector<hsize_t>& shape, uint64_t element_bytes) const {
  const Hdf5Handle properties(H5Dget_create_plist(dataset), H5Pclose);
  const H5D_layout_t layout = properties.valid() ? H5Pget_layout(properties) : H5D_LAYOUT_ERROR;
  const bool inside = layout == H5D_COMPACT || layout == H5D_CHUNKED || (layout == H5D_CONTIGUOUS && H5Pget_external_count(properties) == 0);
  check_input(inside, "{} keeps its data outside the file, or its layout is damaged", where(name));
  bool deflated = false;
  check_input(built_in_filters(properties, deflated), "{} has a filter other than gzip, shuffle and fletcher32", where(name));

  uint64_t needed = element_bytes;
  bool overflow = false, empty = false;
  for (const hsize_t size : shape) {
    empty = empty || size == 0;
    overflow = overflow || __builtin_mul_overflow(needed, std::max<hsize_t>(size, 1), &needed);
  }
  check_input(!overflow && needed <= INT64_MAX, "{}: the byte count of shape [{}] overflows", where(name), fmt::join(shape, ", "));
  if (empty) return;
  const uint64_t stored = H5Dget_storage_size(dataset);
  check_input(stored <= file_bytes_, "{} claims {} stored bytes, but the file has {}", where(name), stored, file_bytes_);
  if (layout == H5D_CHUNKED) needed = chunked_bytes(name, dataset, space, properties, shape, element_bytes);
  const uint64_t possible = deflated ? stored * kMaxDeflateRatio : stored;
  check_input(needed <= possible, "{}: shape [{}] needs {} bytes, but only {} are stored: it was not written whole", where(name), fmt::join(shape, ", "),
              needed, stored);
}

Hdf5Array Hdf5File::open(const std::string& name) const {
  check_input(names_.contains(name), "{}: holds no dataset '{}'", path_.string(), name);
  Hdf5Array array;
  const Hdf5Handle access(H5Pcreate(H5P_DATASET_ACCESS), H5Pclose);
  H5Pset_chunk_cache(access, 0, 0, 1);
  array.dataset = Hdf5Handle(H5Dopen2(file_, name.c_str(), access), H5Dclose);
  require(array.dataset.valid(), where(name) + " cannot be opened");
  const Hdf5Handle type(H5Dget_type(array.dataset), H5Tclose);
  const auto target = type.valid() ? read_type(type) : std::nullopt;
  check_input(target.has_value(), "{} has elements that are neither integers of up to 64 bits (signed) nor floats", where(name));
  const Hdf5Handle space(H5Dget_space(array.dataset), H5Sclose);
  const auto shape = shape_of(name, space);
  check_storage(name, array.dataset, space, shape, H5Tget_size(type));
  array.dtype = target->dtype;
  array.memory = target->memory;
  array.shape.assign(shape.begin(), shape.end());
  array.num_bytes = c10::elementSize(target->dtype);
  for (const int64_t size : array.shape) array.num_bytes *= static_cast<uint64_t>(size);
  return array;
}

void Hdf5File::read(const std::string& name, const Hdf5Array& array, void* target) const {
  if (array.num_bytes == 0) return;
  require(H5Dread(array.dataset, array.memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, target) >= 0, where(name) + " cannot be read");
}

Hdf5Handle Hdf5File::open_attribute(const std::string& name) const {
  check_input(H5Aexists(file_, name.c_str()) > 0, "{}: holds no attribute '{}'", path_.string(), name);
  Hdf5Handle attribute(H5Aopen(file_, name.c_str(), H5P_DEFAULT), H5Aclose);
  require(attribute.valid(), fmt::format("{}: attribute '{}' is damaged", path_.string(), name));
  const Hdf5Handle space(H5Aget_space(attribute), H5Sclose);
  check_input(space.valid() && H5Sget_simple_extent_npoints(space) == 1, "{}: attribute '{}' is not a single value", path_.string(), name);
  return attribute;
}

std::string Hdf5File::text_attribute(const std::string& name) const {
  const Hdf5Handle attribute = open_attribute(name);
  const Hdf5Handle type(H5Aget_type(attribute), H5Tclose);
  check_input(H5Tget_class(type) == H5T_STRING, "{}: attribute '{}' is not text", path_.string(), name);
  const std::string unreadable = fmt::format("{}: attribute '{}' cannot be read", path_.string(), name);
  if (H5Tis_variable_str(type) > 0) {
    check_global_heaps(file_, path_);
    char* text = nullptr;
    require(H5Aread(attribute, type, &text) >= 0, unreadable);
    const std::string copy = text ? text : "";
    H5free_memory(text);
    return copy;
  }
  const size_t size = H5Tget_size(type);
  check_input(size <= file_bytes_, "{}: it claims {} bytes, the file has {}", unreadable, size, file_bytes_);
  std::string text(size, '\0');
  require(H5Aread(attribute, type, text.data()) >= 0, unreadable);
  const size_t end = H5Tget_strpad(type) == H5T_STR_SPACEPAD ? text.find_last_not_of(' ') + 1 : text.find('\0');
  return text.substr(0, end);
}

template <class Value>
Value Hdf5File::number_attribute(const std::string& name, bool real) const {
  const Hdf5Handle attribute = open_attribute(name);
  const Hdf5Handle type(H5Aget_type(attribute), H5Tclose);
  const H5T_class_t kind = H5Tget_class(type);
  check_input(kind == H5T_INTEGER || (real && kind == H5T_FLOAT), "{}: attribute '{}' is not {}", path_.string(), name, real ? "a number" : "an integer");
  Value value{};
  require(H5Aread(attribute, real ? H5T_NATIVE_DOUBLE : H5T_NATIVE_INT64, &value) >= 0, fmt::format("{}: attribute '{}' cannot be read", path_.string(), name));
  return value;
}

int64_t Hdf5File::integer_attribute(const std::string& name) const { return number_attribute<int64_t>(name, false); }

double Hdf5File::real_attribute(const std::string& name) const { return number_attribute<double>(name, true); }

}  // namespace linden
