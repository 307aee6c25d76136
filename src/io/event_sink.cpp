#include "io/event_sink.h"

#include <ATen/core/Tensor.h>

#include <cstring>

#include "core/error.h"
#include "core/files.h"
#include "io/png.h"

namespace linden {
namespace {

// Reads a base-128 number of a protocol buffer; false at the end of the bytes.
bool read_varint(const std::string& bytes, size_t& at, uint64_t& value) {
  value = 0;
  for (int shift = 0; shift < 64 && at < bytes.size(); shift += 7) {
    const auto byte = static_cast<unsigned char>(bytes[at++]);
    value |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if (!(byte & 0x80)) return true;
  }
  return false;
}

// Field 2 (step) of an Event message; 0 where it is absent (protocol buffers leave zeros out).
int64_t step_of_event(const std::string& event) {
  size_t at = 0;
  for (uint64_t key = 0; at < event.size() && read_varint(event, at, key);) {
    uint64_t number = 0;
    switch (key & 7) {
      case 0:
        if (!read_varint(event, at, number)) return 0;
        if (key >> 3 == 2) return static_cast<int64_t>(number);
        break;
      case 1: at += 8; break;
      case 2:
        if (!read_varint(event, at, number) || number > event.size() - at) return 0;  // a sum that wraps would lead back
        at += number;
        break;
      case 5: at += 4; break;
      default: return 0;
    }
  }
  return 0;
}

}  // namespace

int64_t cut_events_after(const std::filesystem::path& file, int64_t step) {
  // Each record: u64 length, u32 checksum of it, the bytes, u32 checksum of those.
  const std::string bytes = read_text_file(file);
  std::string kept;
  int64_t dropped = 0;
  size_t at = 0;
  while (at + 12 <= bytes.size()) {
    uint64_t length = 0;
    std::memcpy(&length, bytes.data() + at, sizeof length);
    if (length > bytes.size() - at || at + 16 + length > bytes.size()) break;
    if (step_of_event(bytes.substr(at + 12, length)) > step) ++dropped;
    else kept.append(bytes, at, 16 + length);
    at += 16 + length;
  }
  if (at < bytes.size()) ++dropped;
  if (dropped > 0) write_file_atomically(file, kept);
  return dropped;
}

void EventSink::image(int64_t step, const std::string& name, const std::filesystem::path& png) {
  const at::Tensor image = read_png(png);  // [C, Y, X]
  log_.image(step, name, read_text_file(png), image.size(1), image.size(2));
}

void EventSink::cut_after(int64_t step) {
  log_.flush();
  for (const auto& entry : std::filesystem::directory_iterator(folder_))
    if (entry.path().filename().string().rfind("events.out.tfevents.", 0) == 0 && entry.path().extension() != ".tmp") cut_events_after(entry.path(), step);
}

}  // namespace linden
