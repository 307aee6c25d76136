#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <stdexcept>

#include "core/error.h"
#include "io/hdf5.h"
#include "io/hdf5_handle.h"
#include "io/hdf5_sink.h"
#include "io/pending_file.h"

namespace linden {
namespace {

constexpr uint64_t kChunkBytes = 1 << 20;
constexpr uint64_t kContiguousBytes = 16 << 10;  // smaller arrays are not worth a chunk index
constexpr unsigned kGzipLevel = 1;

struct StoredType {
  hid_t file, memory;
};

// What an array of this dtype is stored as, after storable().
std::optional<StoredType> stored_type(at::ScalarType dtype) {
  switch (dtype) {
    case at::kByte: return StoredType{H5T_STD_U8LE, H5T_NATIVE_UINT8};
    case at::kChar: return StoredType{H5T_STD_I8LE, H5T_NATIVE_INT8};
    case at::kShort: return StoredType{H5T_STD_I16LE, H5T_NATIVE_INT16};
    case at::kInt: return StoredType{H5T_STD_I32LE, H5T_NATIVE_INT32};
    case at::kLong: return StoredType{H5T_STD_I64LE, H5T_NATIVE_INT64};
    case at::kFloat: return StoredType{H5T_IEEE_F32LE, H5T_NATIVE_FLOAT};
    case at::kDouble: return StoredType{H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE};
    default: return std::nullopt;
  }
}

at::Tensor storable(const at::Tensor& array) {
  at::Tensor plain = array.detach().to(at::kCPU);
  if (plain.scalar_type() == at::kHalf || plain.scalar_type() == at::kBFloat16) plain = plain.to(at::kFloat);
  if (plain.scalar_type() == at::kBool) plain = plain.to(at::kByte);
  return plain.resolve_neg().contiguous();
}

// The longest run of whole rows (of the first dimension that has to be cut) that fits kChunkBytes.
std::vector<hsize_t> chunk_shape(at::IntArrayRef shape, uint64_t element_bytes) {
  std::vector<hsize_t> chunk(shape.begin(), shape.end());
  uint64_t rest = element_bytes;
  for (const auto size : shape) rest *= static_cast<uint64_t>(size);
  for (size_t d = 0; d < chunk.size() && rest > kChunkBytes; ++d) {
    rest /= chunk[d];  // bytes of one row along d
    chunk[d] = std::clamp<hsize_t>(kChunkBytes / rest, 1, chunk[d]);
    rest *= chunk[d];
  }
  return chunk;
}

Hdf5Handle creation_properties(const at::Tensor& array, bool in_one_piece) {
  Hdf5Handle properties(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  H5Pset_obj_track_times(properties, false);  // equal arrays give equal files
  if (in_one_piece || array.dim() == 0 || array.nbytes() <= kContiguousBytes) return properties;
  const auto chunk = chunk_shape(array.sizes(), array.element_size());
  H5Pset_chunk(properties, static_cast<int>(chunk.size()), chunk.data());
  H5Pset_shuffle(properties);
  H5Pset_deflate(properties, kGzipLevel);
  return properties;
}

void check_name(const std::string& name) {
  const bool plain = !name.empty() && name.front() != '/' && name.back() != '/' && name.find("//") == std::string::npos && name.find('\0') == std::string::npos;
  check(plain, "Hdf5Writer: '{}' is not a dataset name (wanted: parts joined by '/', as in tree/parent)", name);
}

}  // namespace

struct Hdf5Writer::State {
  explicit State(const std::filesystem::path& path) : pending(path) { sink.descriptor = pending.descriptor(); }
  ~State() {
    const auto lock = lock_hdf5();
    file.close();
  }

  void require_open() const { check(file.valid(), "Hdf5Writer: {} is closed already", pending.target().string()); }
  // Throws where HDF5 refused or the disk did.
  void require(bool succeeded, const std::string& what) const {
    if (succeeded && sink.error == 0) return;
    const std::string reason = sink.error != 0 ? std::strerror(sink.error) : hdf5_error_text();
    throw std::runtime_error(
        fmt::format("{}: {} cannot be written: {} (a file that stood there before is unchanged)", pending.target().string(), what, reason));
  }
  void write_attribute(const std::string& name, hid_t stored, hid_t memory, const void* value);
  // The address of the elements, or HADDR_UNDEF where they are not in one piece.
  haddr_t write_array(const std::string& name, const at::Tensor& array, bool in_one_piece);

  PendingFile pending;
  Hdf5Sink sink;
  Hdf5Handle file;
};

Hdf5Writer::Hdf5Writer(const std::filesystem::path& path) : state_(std::make_unique<State>(path)) {
  const auto lock = lock_hdf5();
  const Hdf5Handle access = hdf5_sink_access(state_->sink);
  state_->file = Hdf5Handle(H5Fcreate(state_->pending.temporary().c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access), H5Fclose);
  state_->require(state_->file.valid(), "the file");
}

Hdf5Writer::~Hdf5Writer() = default;

void Hdf5Writer::write(const std::string& name, const at::Tensor& array) { state_->write_array(name, array, /*plain=*/false); }

int64_t Hdf5Writer::write_plain(const std::string& name, const at::Tensor& array) {
  const haddr_t address = state_->write_array(name, array, /*plain=*/true);
  check(address != HADDR_UNDEF, "Hdf5Writer: '{}' has no elements, and so no place in the file", name);
  return static_cast<int64_t>(address);
}

haddr_t Hdf5Writer::State::write_array(const std::string& name, const at::Tensor& array, bool in_one_piece) {
  require_open();
  check_name(name);
  check(array.defined() && array.layout() == at::kStrided, "Hdf5Writer: {} is undefined or sparse", name);
  const at::Tensor plain = storable(array);
  const auto lock = lock_hdf5();
  const auto type = stored_type(plain.scalar_type());
  check(type.has_value(), "Hdf5Writer: {} has the dtype {} (allowed: u8, i8, i16, i32, i64, f16, bf16, f32, f64, bool)", name,
        at::toString(array.scalar_type()));

  const std::vector<hsize_t> shape(plain.sizes().begin(), plain.sizes().end());
  const Hdf5Handle space(shape.empty() ? H5Screate(H5S_SCALAR) : H5Screate_simple(static_cast<int>(shape.size()), shape.data(), nullptr), H5Sclose);
  const Hdf5Handle links(H5Pcreate(H5P_LINK_CREATE), H5Pclose);
  H5Pset_create_intermediate_group(links, 1);
  const Hdf5Handle access(H5Pcreate(H5P_DATASET_ACCESS), H5Pclose);
  H5Pset_chunk_cache(access, 0, 0, 1);  // each chunk goes to the disk at once, where a failure is ours to see
  const Hdf5Handle properties = creation_properties(plain, in_one_piece);
  Hdf5Handle dataset(H5Dcreate2(file, name.c_str(), type->file, space, links, properties, access), H5Dclose);
  const std::string what = "dataset '" + name + "'";
  require(dataset.valid(), what);
  const bool written = plain.numel() == 0 || H5Dwrite(dataset, type->memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, plain.const_data_ptr()) >= 0;
  require(written, what);
  const haddr_t address = H5Dget_offset(dataset);
  require(dataset.close(), what);
  return address;
}

void Hdf5Writer::State::write_attribute(const std::string& name, hid_t stored, hid_t memory, const void* value) {
  const Hdf5Handle space(H5Screate(H5S_SCALAR), H5Sclose);
  Hdf5Handle attribute(H5Acreate2(file, name.c_str(), stored, space, H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
  const std::string what = "attribute '" + name + "'";
  require(attribute.valid(), what);
  require(H5Awrite(attribute, memory, value) >= 0, what);
  require(attribute.close(), what);
}

void Hdf5Writer::attribute(const std::string& name, const std::string& value) {
  state_->require_open();
  check(value.find('\0') == std::string::npos, "Hdf5Writer: the text of attribute '{}' has a zero byte", name);
  const auto lock = lock_hdf5();
  const Hdf5Handle type(H5Tcopy(H5T_C_S1), H5Tclose);  // of variable length: a config may pass 64 KB
  H5Tset_size(type, H5T_VARIABLE);
  H5Tset_cset(type, H5T_CSET_UTF8);
  const char* text = value.c_str();
  state_->write_attribute(name, type, type, &text);
}

void Hdf5Writer::attribute(const std::string& name, int64_t value) {
  state_->require_open();
  const auto lock = lock_hdf5();
  state_->write_attribute(name, H5T_STD_I64LE, H5T_NATIVE_INT64, &value);
}

void Hdf5Writer::attribute(const std::string& name, double value) {
  state_->require_open();
  const auto lock = lock_hdf5();
  state_->write_attribute(name, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, &value);
}

void Hdf5Writer::close() {
  state_->require_open();
  {
    const auto lock = lock_hdf5();
    state_->require(state_->file.close(), "the file");
  }
  state_->pending.commit();
}

}  // namespace linden
