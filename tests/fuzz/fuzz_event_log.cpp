// TensorBoard event files, as reports read them and as --resume cuts them: every record has two masked CRC32C.
#include "io/event_log.h"
#include "io/event_sink.h"
#include "tests/fuzz/target.h"

namespace linden::fuzz {
namespace {

constexpr size_t kLength = 8, kChecksum = 4, kAround = kLength + 2 * kChecksum;

uint32_t masked_crc32c(std::string_view bytes) {
  uint32_t crc = 0xffffffffu;
  for (const char byte : bytes) {
    crc ^= static_cast<unsigned char>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0u);
  }
  crc = ~crc;
  return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

void fuzz_event_log(std::span<const std::byte> bytes) {
  static MemoryFile file;
  file.assign(bytes);
  read_scalar_events(file.path());
}

void fuzz_event_cut(std::span<const std::byte> bytes) {
  static MemoryFile file;
  file.assign(bytes);
  cut_events_after(file.path(), 1);
  cut_events_after(file.path(), -1);
}

std::string record(const std::string& message) {
  std::string out(kLength, '\0'), checksum(kChecksum, '\0');
  set_little_endian(out, 0, message.size(), kLength);
  set_little_endian(checksum, 0, masked_crc32c(out), kChecksum);
  out += checksum + message;
  set_little_endian(checksum, 0, masked_crc32c(message), kChecksum);
  return out + checksum;
}

// Messages are mutated, and the framing is made anew.
std::string mutated_messages(Mutator& mutator, std::string seed, const std::string& other) {
  std::string out;
  for (size_t at = 0; seed.size() - at >= kAround;) {
    const size_t size = little_endian_word(seed, at);
    if (size > seed.size() - at - kAround) break;
    std::string message = seed.substr(at + kLength + kChecksum, size);
    if (mutator.one_in(2)) mutator.mutate(message, other, event_log_target().dictionary);
    out += record(message);
    at += kAround + size;
  }
  return out;
}

}  // namespace

Target event_log_target() {
  return {.name = "event_log",
          .seeds = {"tests/fuzz/seeds/events.out.tfevents.seed"},
          .read = fuzz_event_log,
          .dictionary = {"\x0a", "\x12", "\x15", "\x2a", "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"},
          .structured = mutated_messages,
          .isolated = nullptr,
          .library = ""};
}

Target event_cut_target() {
  Target target = event_log_target();
  target.name = "event_cut";
  target.read = fuzz_event_cut;
  return target;
}

}  // namespace linden::fuzz
