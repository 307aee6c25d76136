#include "io/idx.h"

#include <ATen/ATen.h>
#include <fmt/ostream.h>
#include <fmt/ranges.h>
#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "core/error.h"
#include "io/mapped_file.h"
#include "io/pending_file.h"

namespace linden {
namespace {

constexpr unsigned char kUnsignedByte = 0x08;  // the third byte of the magic number: element type
constexpr uint64_t kMaxDeflateRatio = 1100;    // zlib's is 1032
constexpr size_t kMaxStep = size_t{1} << 30;   // zlib counts in 32 bits
constexpr int kGzipWindow = 15 + 16;           // zlib: largest window, gzip framing

// Hands out the bytes of a plain or gzip file in order.
class ByteSource {
 public:
  explicit ByteSource(const std::filesystem::path& path) : path_(path), file_(path), rest_(file_.bytes()) {
    gzip_ = rest_.starts_with("\x1f\x8b");
    if (gzip_ && inflateInit2(&stream_, kGzipWindow) != Z_OK) throw std::runtime_error("zlib cannot start");
  }
  ~ByteSource() {
    if (gzip_) inflateEnd(&stream_);
  }
  ByteSource(const ByteSource&) = delete;

  const char* kind() const { return gzip_ ? "gzip IDX file" : "IDX file"; }
  // No more bytes than this can come out of the file.
  uint64_t most_bytes() const { return gzip_ ? file_.size() * kMaxDeflateRatio : file_.size(); }

  // Fills `target` with up to `count` bytes; fewer only at the end.
  size_t read(void* target, size_t count) {
    if (gzip_) return inflate_bytes(static_cast<unsigned char*>(target), count);
    const size_t taken = std::min(count, rest_.size());
    if (taken > 0) std::memcpy(target, rest_.data(), taken);
    rest_.remove_prefix(taken);
    return taken;
  }

  // True when nothing is left; for gzip that also means that the checksum was right.
  bool finished() {
    unsigned char extra;
    return read(&extra, 1) == 0 && rest_.empty();
  }

 private:
  size_t inflate_bytes(unsigned char* target, size_t count) {
    size_t done = 0;
    while (!ended_ && done < count) {
      const size_t input = std::min(rest_.size(), kMaxStep), output = std::min(count - done, kMaxStep);
      stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(rest_.data()));
      stream_.avail_in = static_cast<uInt>(input);
      stream_.next_out = target + done;
      stream_.avail_out = static_cast<uInt>(output);
      const int status = inflate(&stream_, Z_NO_FLUSH);
      rest_.remove_prefix(input - stream_.avail_in);
      done += output - stream_.avail_out;
      ended_ = status == Z_STREAM_END;
      const bool stuck = status == Z_BUF_ERROR || (rest_.empty() && stream_.avail_out > 0);
      check_input(ended_ || !stuck, "{}: the gzip data are cut short", path_.string());
      check_input(ended_ || status == Z_OK, "{}: the gzip data are damaged: {}", path_.string(), stream_.msg ? stream_.msg : "zlib gives no reason");
    }
    return done;
  }

  std::filesystem::path path_;
  MappedFile file_;
  std::string_view rest_;
  bool gzip_ = false, ended_ = false;
  z_stream stream_{};
};

std::vector<int64_t> read_shape(const std::string& origin, ByteSource& source, size_t rank) {
  std::vector<int64_t> shape;
  uint64_t count = 1;
  for (size_t d = 0; d < rank; ++d) {
    unsigned char bytes[4];
    check_input(source.read(bytes, 4) == 4, "{}: the {} is cut short in its header (dimension {} of {})", origin, source.kind(), d + 1, rank);
    const uint64_t size = uint64_t{bytes[0]} << 24 | uint64_t{bytes[1]} << 16 | uint64_t{bytes[2]} << 8 | bytes[3];
    shape.push_back(static_cast<int64_t>(size));
    const bool overflow = __builtin_mul_overflow(count, std::max<uint64_t>(size, 1), &count);
    check_input(!overflow && count <= INT64_MAX, "{}: the element count of shape [{}] overflows", origin, fmt::join(shape, ", "));
  }
  return shape;
}

std::string gzip_bytes(std::string_view plain) {
  z_stream stream{};
  if (deflateInit2(&stream, Z_BEST_COMPRESSION, Z_DEFLATED, kGzipWindow, 8, Z_DEFAULT_STRATEGY) != Z_OK) { throw std::runtime_error("zlib cannot start"); }
  std::string packed;
  std::vector<char> buffer(1 << 16);
  int status = Z_OK;
  while (status != Z_STREAM_END) {
    if (stream.avail_in == 0) {
      const size_t step = std::min(plain.size(), kMaxStep);
      stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(plain.data()));
      stream.avail_in = static_cast<uInt>(step);
      plain.remove_prefix(step);
    }
    stream.next_out = reinterpret_cast<Bytef*>(buffer.data());
    stream.avail_out = static_cast<uInt>(buffer.size());
    status = deflate(&stream, plain.empty() ? Z_FINISH : Z_NO_FLUSH);
    packed.append(buffer.data(), buffer.size() - stream.avail_out);
  }
  deflateEnd(&stream);
  return packed;
}

}  // namespace

at::Tensor read_idx(const std::filesystem::path& path) {
  const std::string origin = path.string();
  ByteSource source(path);
  unsigned char magic[4];
  check_input(source.read(magic, 4) == 4, "{}: the {} is cut short in its magic number", origin, source.kind());
  check_input(magic[0] == 0 && magic[1] == 0, "{}: wrong magic number {:02x}{:02x}{:02x}{:02x}: not an IDX file", origin, magic[0], magic[1], magic[2],
              magic[3]);
  check_input(magic[2] == kUnsignedByte, "{}: element type 0x{:02x}, wanted 0x08 (unsigned bytes)", origin, magic[2]);
  check_input(magic[3] >= 1 && magic[3] <= 8, "{}: has {} dimensions, allowed 1 to 8", origin, magic[3]);
  const auto shape = read_shape(origin, source, magic[3]);
  uint64_t wanted = 1;
  for (const int64_t size : shape) wanted *= static_cast<uint64_t>(size);
  check_input(wanted <= source.most_bytes(), "{}: the {} is cut short: shape [{}] needs {} bytes, the file has too few", origin, source.kind(),
              fmt::join(shape, ", "), wanted);
  at::Tensor array = at::empty(shape, at::kByte);
  const size_t got = wanted == 0 ? 0 : source.read(array.data_ptr(), wanted);
  check_input(got == wanted, "{}: the {} is cut short: shape [{}] needs {} bytes, got {}", origin, source.kind(), fmt::join(shape, ", "), wanted, got);
  check_input(source.finished(), "{}: bytes follow the {} elements of shape [{}]", origin, wanted, fmt::join(shape, ", "));
  return array;
}

void write_idx(const std::filesystem::path& path, const at::Tensor& array, bool gzip) {
  check(array.scalar_type() == at::kByte && array.dim() >= 1 && array.dim() <= 8, "write_idx: wanted u8 of 1 to 8 dimensions, got {} of {}",
        fmt::streamed(array.sizes()), at::toString(array.scalar_type()));
  const at::Tensor plain = array.detach().to(at::kCPU).contiguous();
  std::string bytes{'\0', '\0', static_cast<char>(kUnsignedByte), static_cast<char>(array.dim())};
  for (const int64_t size : plain.sizes()) {
    check(size <= UINT32_MAX, "write_idx: dimension {} does not fit 32 bits", size);
    for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(size >> shift & 0xff);
  }
  if (plain.numel() > 0) bytes.append(static_cast<const char*>(plain.const_data_ptr()), plain.nbytes());
  PendingFile file(path);
  file.write(gzip ? gzip_bytes(bytes) : bytes);
  file.commit();
}

}  // namespace linden
