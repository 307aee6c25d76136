#include "io/apng.h"

#include <ATen/ATen.h>
#include <fmt/ostream.h>
#include <zlib.h>

#include "core/error.h"
#include "io/pending_file.h"
#include "io/png.h"
#include "io/svg.h"

namespace linden {
namespace {

constexpr size_t kSignature = 8;

struct Chunk {
  std::string type, data;
};

uint32_t read_u32(std::string_view bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  return value;
}

std::string u32(uint32_t value) {
  return {static_cast<char>(value >> 24), static_cast<char>(value >> 16), static_cast<char>(value >> 8), static_cast<char>(value)};
}
std::string u16(uint32_t value) { return {static_cast<char>(value >> 8), static_cast<char>(value)}; }

// Of a PNG that encode_png made.
std::vector<Chunk> chunks_of(std::string_view png) {
  std::vector<Chunk> chunks;
  for (size_t at = kSignature; at < png.size();) {
    const uint32_t size = read_u32(png, at);
    chunks.push_back({std::string(png.substr(at + 4, 4)), std::string(png.substr(at + 8, size))});
    at += 12 + size;
  }
  return chunks;
}

void append(std::string& bytes, const std::string& type, const std::string& data) {
  const std::string body = type + data;
  bytes += u32(static_cast<uint32_t>(data.size())) + body +
           u32(static_cast<uint32_t>(crc32(0, reinterpret_cast<const Bytef*>(body.data()), static_cast<uInt>(body.size()))));
}

// Numbered together with fdAT.
std::string frame_control(uint32_t number, int64_t columns, int64_t rows, int64_t delay_ms) {
  const std::string whole_frame = u32(static_cast<uint32_t>(columns)) + u32(static_cast<uint32_t>(rows)) + u32(0) + u32(0);
  const std::string keep_and_overwrite(2, '\0');  // dispose_op none, blend_op source
  return u32(number) + whole_frame + u16(static_cast<uint32_t>(delay_ms)) + u16(1000) + keep_and_overwrite;
}

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '&') out += "&amp;";
    else if (c == '<') out += "&lt;";
    else if (c == '>') out += "&gt;";
    else out += c;
  }
  return out;
}

}  // namespace

std::string encode_apng(const at::Tensor& frames, int64_t delay_ms, const std::map<std::string, std::string>& text) {
  check(frames.dim() == 4 && frames.size(0) >= 1, "encode_apng: wanted [F, 1 or 3, Y, X] of u8 with F > 0, got {}", fmt::streamed(frames.sizes()));
  check(delay_ms >= 1 && delay_ms <= 65535, "encode_apng: delay_ms is {} (allowed 1..65535)", delay_ms);
  const std::string first = encode_png(frames[0], text);
  std::string bytes = first.substr(0, kSignature);
  uint32_t number = 0;
  bool begun = false;  // the first frame's pixels
  for (const Chunk& chunk : chunks_of(first)) {
    if (chunk.type == "IEND") break;
    if (chunk.type == "IDAT" && !begun) append(bytes, "fcTL", frame_control(number++, frames.size(3), frames.size(2), delay_ms));
    begun = begun || chunk.type == "IDAT";
    append(bytes, chunk.type, chunk.data);
    if (chunk.type == "IHDR") append(bytes, "acTL", u32(static_cast<uint32_t>(frames.size(0))) + u32(0));  // played for ever
  }
  for (int64_t f = 1; f < frames.size(0); ++f) {
    append(bytes, "fcTL", frame_control(number++, frames.size(3), frames.size(2), delay_ms));
    for (const Chunk& chunk : chunks_of(encode_png(frames[f])))
      if (chunk.type == "IDAT") append(bytes, "fdAT", u32(number++) + chunk.data);
  }
  append(bytes, "IEND", "");
  return bytes;
}

void write_apng(const std::filesystem::path& path, const at::Tensor& frames, int64_t delay_ms, const std::map<std::string, std::string>& text) {
  const std::string bytes = encode_apng(frames, delay_ms, text);
  PendingFile file(path);
  file.write(bytes);
  file.commit();
}

at::Tensor clip_grid(const at::Tensor& video, int64_t columns, int64_t scale, int64_t gap) {
  check(video.dim() == 5 && video.size(0) > 0 && video.size(2) > 0, "clip_grid: wanted [B, C, F, Y, X] with B, F > 0, got {}", fmt::streamed(video.sizes()));
  std::vector<at::Tensor> sheets;
  for (const at::Tensor& frame : video.unbind(2)) sheets.push_back(contact_sheet(frame, columns, scale, gap));
  return at::stack(sheets);
}

std::string picture_page(const std::string& heading, const std::vector<std::pair<std::string, std::string>>& text_and_png) {
  std::string page = fmt::format(
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{0}</title><style>\n"
      "body {{ font: 14px sans-serif; margin: 2em; }} figure {{ display: inline-block; margin: 0 1em 1em 0; }}\n"
      "img {{ image-rendering: pixelated; }}\n</style></head><body>\n<h1>{0}</h1>\n",
      escaped(heading));
  for (const auto& [text, png] : text_and_png)
    page += fmt::format("<figure><img src=\"data:image/png;base64,{}\" alt=\"{}\"><figcaption>{}</figcaption></figure>\n", base64(png), "", escaped(text));
  return page + "</body></html>\n";
}

}  // namespace linden
