#include "io/png.h"

#include <ATen/ATen.h>
#include <fmt/ostream.h>
#include <png.h>

#include <algorithm>
#include <cstring>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "io/mapped_file.h"
#include "io/pending_file.h"

namespace linden {
namespace {

constexpr uint64_t kMaxPixels = uint64_t{1} << 28;
constexpr uint64_t kMaxDeflateRatio = 1100;           // zlib's is 1032
constexpr png_alloc_size_t kMaxChunkBytes = 8 << 20;  // of one text chunk when unpacked

// libpng reports errors by longjmp. Between a setjmp here and the calls that may jump there are only
// trivial variables; whatever owns memory lives outside and outlasts the jump.
struct Session {
  jmp_buf* jump = nullptr;
  char message[200] = "";
};

[[noreturn]] void on_error(png_structp png, png_const_charp message) {
  auto* session = static_cast<Session*>(png_get_error_ptr(png));
  std::strncpy(session->message, message, sizeof session->message - 1);
  longjmp(*session->jump, 1);
}
void on_warning(png_structp, png_const_charp) {}

// Runs `action`, which calls libpng and holds nothing that needs a destructor; false after a libpng error.
template <class Action>
bool guarded(Session& session, Action&& action) {
  jmp_buf jump;
  session.jump = &jump;
  if (setjmp(jump)) return false;
  action();
  return true;
}

// --- writing ---------------------------------------------------------------------------------------

struct Writer {
  Writer() : png(png_create_write_struct(PNG_LIBPNG_VER_STRING, &session, on_error, on_warning)) {
    if (png) info = png_create_info_struct(png);
    if (!info) throw std::runtime_error("libpng cannot start writing");
  }
  ~Writer() { png_destroy_write_struct(&png, &info); }
  Writer(const Writer&) = delete;

  Session session;
  png_structp png;
  png_infop info = nullptr;
};

// Called by libpng: an exception must not cross it.
void append(png_structp png, png_bytep data, size_t size) {
  bool stored = true;
  try {
    static_cast<std::string*>(png_get_io_ptr(png))->append(reinterpret_cast<const char*>(data), size);
  } catch (...) { stored = false; }
  if (!stored) png_error(png, "out of memory");
}

bool is_ascii(const std::string& text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

// tEXt for ASCII, iTXt (UTF-8) for the rest.
std::vector<png_text> text_chunks(const std::map<std::string, std::string>& text) {
  std::vector<png_text> chunks;
  for (const auto& [key, value] : text) {
    check(!key.empty() && key.size() <= 79 && is_ascii(key) && key.front() != ' ' && key.back() != ' ',
          "encode_png: '{}' is not a PNG keyword (1 to 79 ASCII characters)", key);
    check(value.find('\0') == std::string::npos, "encode_png: the text of '{}' has a zero byte", key);
    png_text chunk{};
    chunk.compression = is_ascii(value) ? PNG_TEXT_COMPRESSION_NONE : PNG_ITXT_COMPRESSION_NONE;
    chunk.key = const_cast<png_charp>(key.c_str());
    chunk.text = const_cast<png_charp>(value.c_str());
    chunk.text_length = value.size();
    chunks.push_back(chunk);
  }
  return chunks;
}

// --- reading ---------------------------------------------------------------------------------------

struct Reader {
  Reader() : png(png_create_read_struct(PNG_LIBPNG_VER_STRING, &session, on_error, on_warning)) {
    if (png) info = png_create_info_struct(png);
    if (!info) throw std::runtime_error("libpng cannot start reading");
  }
  ~Reader() { png_destroy_read_struct(&png, &info, nullptr); }
  Reader(const Reader&) = delete;

  Session session;
  png_structp png;
  png_infop info = nullptr;
  std::string_view rest;
};

void take(png_structp png, png_bytep data, size_t size) {
  auto* rest = static_cast<std::string_view*>(png_get_io_ptr(png));
  if (size > rest->size()) png_error(png, "the file is cut short");
  std::memcpy(data, rest->data(), size);
  rest->remove_prefix(size);
}

// Any PNG becomes 8-bit grey or RGB, as Pillow's convert("RGB") has it: alpha is dropped.
void normalise(png_structp png, png_infop info) {
  const int colour = png_get_color_type(png, info);
  if (colour == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(png);
  if (colour == PNG_COLOR_TYPE_GRAY && png_get_bit_depth(png, info) < 8) png_set_expand_gray_1_2_4_to_8(png);
  png_set_scale_16(png);
  png_set_strip_alpha(png);
  png_set_interlace_handling(png);
  png_read_update_info(png, info);
}

void read_text(png_structp png, png_infop info, std::map<std::string, std::string>& text) {
  png_textp chunks = nullptr;
  const int count = png_get_text(png, info, &chunks, nullptr);
  for (int i = 0; i < count; ++i) {
    const size_t length = chunks[i].compression > 0 ? chunks[i].itxt_length : chunks[i].text_length;
    text[chunks[i].key] = chunks[i].text ? std::string(chunks[i].text, length) : "";
  }
}

// Whether no chunk claims more bytes than follow it: libpng takes (and clears) what a text chunk claims before it reads.
bool holds_its_chunks(std::string_view bytes) {
  constexpr size_t kSignature = 8, kFrame = 12;  // of a chunk: length, type, CRC
  for (size_t at = kSignature; at + kFrame <= bytes.size();) {
    size_t length = 0;
    for (size_t i = 0; i < 4; ++i) length = length << 8 | static_cast<unsigned char>(bytes[at + i]);
    if (length > bytes.size() - at - kFrame) return false;
    if (bytes.substr(at + 4, 4) == "IEND") break;
    at += kFrame + length;
  }
  return true;
}

}  // namespace

std::string encode_png(const at::Tensor& image, const std::map<std::string, std::string>& text) {
  check(image.dim() == 3 && (image.size(0) == 1 || image.size(0) == 3) && image.scalar_type() == at::kByte,
        "encode_png: wanted [1 or 3, Y, X] of u8, got {} of {}", fmt::streamed(image.sizes()), at::toString(image.scalar_type()));
  const int64_t channels = image.size(0), rows = image.size(1), columns = image.size(2);
  check(rows > 0 && columns > 0 && rows < (1 << 24) && columns < (1 << 24) && static_cast<uint64_t>(rows) * static_cast<uint64_t>(columns) <= kMaxPixels,
        "encode_png: {} x {} pixels; allowed: 1 to 2^28", rows, columns);
  const at::Tensor pixels = image.detach().to(at::kCPU).permute({1, 2, 0}).contiguous();  // [Y, X, C]
  std::vector<png_text> chunks = text_chunks(text);
  std::string bytes;
  Writer writer;
  png_bytep first = pixels.data_ptr<uint8_t>();
  const bool written = guarded(writer.session, [&] {
    png_set_write_fn(writer.png, &bytes, append, nullptr);
    png_set_IHDR(writer.png, writer.info, static_cast<png_uint_32>(columns), static_cast<png_uint_32>(rows), 8,
                 channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    if (!chunks.empty()) png_set_text(writer.png, writer.info, chunks.data(), static_cast<int>(chunks.size()));
    png_write_info(writer.png, writer.info);
    for (int64_t y = 0; y < rows; ++y) png_write_row(writer.png, first + y * columns * channels);
    png_write_end(writer.png, nullptr);
  });
  if (!written) throw std::runtime_error(fmt::format("libpng cannot encode the picture: {}", writer.session.message));
  return bytes;
}

void write_png(const std::filesystem::path& path, const at::Tensor& image, const std::map<std::string, std::string>& text) {
  const std::string bytes = encode_png(image, text);
  PendingFile file(path);
  file.write(bytes);
  file.commit();
}

at::Tensor read_png(const std::filesystem::path& path, std::map<std::string, std::string>* text) {
  const MappedFile file(path);
  check_input(file.size() >= 8 && png_sig_cmp(reinterpret_cast<png_const_bytep>(file.data()), 0, 8) == 0, "{}: is not a PNG file", path.string());
  check_input(holds_its_chunks(file.bytes()), "{}: the PNG is damaged: the file is cut short", path.string());
  Reader reader;
  reader.rest = file.bytes();
  const auto damaged = [&] { return InputError(fmt::format("{}: the PNG is damaged: {}", path.string(), reader.session.message)); };
  uint64_t rows = 0, columns = 0, channels = 0;
  if (!guarded(reader.session, [&] {
        png_set_read_fn(reader.png, &reader.rest, take);
        png_set_crc_action(reader.png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
        png_set_user_limits(reader.png, 1 << 24, 1 << 24);
        png_set_chunk_malloc_max(reader.png, kMaxChunkBytes);
        png_read_info(reader.png, reader.info);
        normalise(reader.png, reader.info);
        rows = png_get_image_height(reader.png, reader.info);
        columns = png_get_image_width(reader.png, reader.info);
        channels = png_get_channels(reader.png, reader.info);
      })) {
    throw damaged();
  }
  check_input(rows * columns <= kMaxPixels, "{}: has {} x {} pixels, more than 2^28", path.string(), rows, columns);
  // At least one bit a pixel is stored, so a larger picture cannot come out of these bytes.
  check_input(rows * columns / 8 <= file.size() * kMaxDeflateRatio, "{}: the PNG is damaged: {} x {} pixels cannot be stored in {} bytes", path.string(), rows,
              columns, file.size());
  check_input(channels == 1 || channels == 3, "{}: has {} channels, wanted grey or RGB", path.string(), channels);
  at::Tensor pixels = at::empty({static_cast<int64_t>(rows), static_cast<int64_t>(columns), static_cast<int64_t>(channels)},
                                at::kByte);  // [Y, X, C]
  std::vector<png_bytep> row_pointers(rows);
  for (uint64_t y = 0; y < rows; ++y) row_pointers[y] = pixels.data_ptr<uint8_t>() + y * columns * channels;
  if (!guarded(reader.session, [&] {
        png_read_image(reader.png, row_pointers.data());
        png_read_end(reader.png, reader.info);
      })) {
    throw damaged();
  }
  if (text) read_text(reader.png, reader.info, *text);
  return pixels.permute({2, 0, 1}).contiguous();
}

}  // namespace linden
