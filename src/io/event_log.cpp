#include "io/event_log.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <stdexcept>
#include <string_view>

#include "core/error.h"
#include "io/mapped_file.h"

namespace linden {
namespace {

constexpr size_t kFlushBytes = 1 << 20;

// --- TFRecord --------------------------------------------------------------------------------------
// uint64 length | uint32 masked CRC of the length | bytes | uint32 masked CRC of the bytes; little-endian.

// CRC-32C (Castagnoli), reflected polynomial 0x82f63b78.
constexpr std::array<uint32_t, 256> crc_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0u);
    table[byte] = crc;
  }
  return table;
}

uint32_t masked_crc(std::string_view bytes) {
  static constexpr auto kTable = crc_table();
  uint32_t crc = 0xffffffffu;
  for (const char byte : bytes) crc = crc >> 8 ^ kTable[(crc ^ static_cast<unsigned char>(byte)) & 0xff];
  crc = ~crc;
  return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

template <class Word>
void append_word(std::string& out, Word word) {
  for (size_t i = 0; i < sizeof word; ++i) out += static_cast<char>(static_cast<uint64_t>(word) >> (8 * i));
}

template <class Word>
Word word_at(std::string_view bytes, size_t position) {
  uint64_t word = 0;
  for (size_t i = sizeof(Word); i-- > 0;) word = word << 8 | static_cast<unsigned char>(bytes[position + i]);
  return static_cast<Word>(word);
}

std::string record(const std::string& payload) {
  std::string out;
  append_word(out, static_cast<uint64_t>(payload.size()));
  append_word(out, masked_crc(out));
  out += payload;
  append_word(out, masked_crc(payload));
  return out;
}

// --- protocol buffers ------------------------------------------------------------------------------

enum Wire : uint32_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

void append_varint(std::string& out, uint64_t value) {
  while (value >= 0x80) {
    out += static_cast<char>(value | 0x80);
    value >>= 7;
  }
  out += static_cast<char>(value);
}
void append_key(std::string& out, uint32_t field, Wire wire) { append_varint(out, field << 3 | wire); }
void append_integer(std::string& out, uint32_t field, int64_t value) {
  append_key(out, field, kVarint);
  append_varint(out, static_cast<uint64_t>(value));
}
void append_bytes(std::string& out, uint32_t field, std::string_view bytes) {
  append_key(out, field, kBytes);
  append_varint(out, bytes.size());
  out += bytes;
}
void append_double(std::string& out, uint32_t field, double value) {
  append_key(out, field, kFixed64);
  append_word(out, std::bit_cast<uint64_t>(value));
}
void append_float(std::string& out, uint32_t field, float value) {
  append_key(out, field, kFixed32);
  append_word(out, std::bit_cast<uint32_t>(value));
}

// Field numbers of Event, Summary, Summary.Value and Summary.Image.
enum EventField : uint32_t { kWallTime = 1, kStep = 2, kFileVersion = 3, kSummary = 5 };
enum SummaryField : uint32_t { kValue = 1 };
enum ValueField : uint32_t { kTag = 1, kSimpleValue = 2, kImage = 4 };
enum ImageField : uint32_t { kHeight = 1, kWidth = 2, kColorspace = 3, kEncoded = 4 };

double seconds_now() { return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count(); }

std::string event_header(int64_t step) {
  std::string event;
  append_double(event, kWallTime, seconds_now());
  append_integer(event, kStep, step);
  return event;
}

std::string summary_event(int64_t step, const std::string& value) {
  std::string summary, event = event_header(step);
  append_bytes(summary, kValue, value);
  append_bytes(event, kSummary, summary);
  return event;
}

// One field of a message after the other; `damaged` when the bytes do not make sense.
class MessageReader {
 public:
  explicit MessageReader(std::string_view bytes) : rest_(bytes) {}

  uint32_t field = 0;
  uint64_t number = 0;     // of a varint or a fixed word
  std::string_view bytes;  // of a length-delimited field
  bool damaged = false;

  bool next() {
    uint64_t key = 0, length = 0;
    if (rest_.empty() || !varint(key)) return false;
    field = static_cast<uint32_t>(key >> 3);
    switch (key & 7) {
      case kVarint: return varint(number);
      case kFixed64: return word<uint64_t>();
      case kFixed32: return word<uint32_t>();
      case kBytes:
        if (!varint(length) || length > rest_.size()) return fail();
        bytes = rest_.substr(0, length);
        rest_.remove_prefix(length);
        return true;
      default: return fail();
    }
  }

 private:
  bool fail() {
    damaged = true;
    return false;
  }
  bool varint(uint64_t& value) {
    value = 0;
    for (int shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
      const auto byte = static_cast<unsigned char>(rest_.front());
      rest_.remove_prefix(1);
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return true;
    }
    return fail();
  }
  template <class Word>
  bool word() {
    if (rest_.size() < sizeof(Word)) return fail();
    number = word_at<Word>(rest_, 0);
    rest_.remove_prefix(sizeof(Word));
    return true;
  }
  std::string_view rest_;
};

// Adds the scalars of one Event; false where the message is damaged.
bool collect_scalars(std::string_view event_bytes, std::vector<ScalarEvent>& events) {
  int64_t step = 0;
  std::vector<std::string_view> summaries;
  MessageReader event(event_bytes);
  while (event.next()) {
    if (event.field == kStep) step = static_cast<int64_t>(event.number);
    if (event.field == kSummary) summaries.push_back(event.bytes);
  }
  bool damaged = event.damaged;
  for (const auto summary_bytes : summaries) {
    MessageReader summary(summary_bytes);
    while (summary.next()) {
      if (summary.field != kValue) continue;
      ScalarEvent scalar{step, "", 0};
      bool is_scalar = false;
      MessageReader value(summary.bytes);
      while (value.next()) {
        if (value.field == kTag) scalar.tag = value.bytes;
        if (value.field == kSimpleValue) scalar.value = std::bit_cast<float>(static_cast<uint32_t>(value.number));
        is_scalar = is_scalar || value.field == kSimpleValue;
      }
      damaged = damaged || value.damaged;
      if (is_scalar) events.push_back(std::move(scalar));
    }
    damaged = damaged || summary.damaged;
  }
  return !damaged;
}

}  // namespace

// --- the log ---------------------------------------------------------------------------------------

struct EventLog::State {
  std::filesystem::path path;
  int descriptor = -1;
  std::string pending;

  void add(const std::string& event) {
    pending += record(event);
    if (pending.size() >= kFlushBytes) write_pending();
  }
  void write_pending() {
    size_t done = 0;
    while (done < pending.size()) {
      const ssize_t written = ::write(descriptor, pending.data() + done, pending.size() - done);
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) {
        const int reason = errno;
        pending.erase(0, done);  // a later flush goes on where this one stopped
        throw std::runtime_error(fmt::format("{}: cannot be written: {}", path.string(), std::strerror(reason)));
      }
      done += static_cast<size_t>(written);
    }
    pending.clear();
  }
};

EventLog::EventLog(const std::filesystem::path& folder) : state_(std::make_unique<State>()) {
  char host[256] = "localhost";
  gethostname(host, sizeof host - 1);
  // A second log of the same process and second gets the next number.
  for (int number = 0; state_->descriptor < 0; ++number) {
    state_->path = folder / fmt::format("events.out.tfevents.{}.{}.{}.{}", static_cast<int64_t>(seconds_now()), host, getpid(), number);
    state_->descriptor = ::open(state_->path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0644);
    if (state_->descriptor < 0 && errno != EEXIST) {
      throw std::runtime_error(fmt::format("{}: cannot be created: {}", state_->path.string(), std::strerror(errno)));
    }
  }
  std::string event;
  append_double(event, kWallTime, seconds_now());
  append_bytes(event, kFileVersion, "brain.Event:2");
  state_->add(event);
}

EventLog::~EventLog() {
  try {
    state_->write_pending();
  } catch (const std::exception&) {
    // Who needs to know calls flush().
  }
  ::close(state_->descriptor);
}

void EventLog::scalar(int64_t step, const std::string& tag, double value) {
  std::string bytes;
  append_bytes(bytes, kTag, tag);
  append_float(bytes, kSimpleValue, static_cast<float>(value));
  state_->add(summary_event(step, bytes));
}

void EventLog::image(int64_t step, const std::string& tag, const std::string& png, int64_t height, int64_t width) {
  constexpr int64_t kRgb = 3;
  std::string picture, bytes;
  append_integer(picture, kHeight, height);
  append_integer(picture, kWidth, width);
  append_integer(picture, kColorspace, kRgb);
  append_bytes(picture, kEncoded, png);
  append_bytes(bytes, kTag, tag);
  append_bytes(bytes, kImage, picture);
  state_->add(summary_event(step, bytes));
}

void EventLog::flush() { state_->write_pending(); }

std::vector<ScalarEvent> read_scalar_events(const std::filesystem::path& file) {
  constexpr size_t kLengthBytes = 12, kTailBytes = 4;  // length and its CRC; CRC of the bytes
  const MappedFile mapped(file);
  std::string_view rest = mapped.bytes();
  std::vector<ScalarEvent> events;
  for (int64_t number = 0; !rest.empty(); ++number) {
    check_input(rest.size() >= kLengthBytes, "{}: record {} is cut short", file.string(), number);
    check_input(word_at<uint32_t>(rest, 8) == masked_crc(rest.substr(0, 8)), "{}: the length of record {} has a wrong checksum", file.string(), number);
    const auto length = word_at<uint64_t>(rest, 0);
    rest.remove_prefix(kLengthBytes);
    check_input(rest.size() >= kTailBytes && length <= rest.size() - kTailBytes, "{}: record {} is cut short", file.string(), number);
    const auto payload = rest.substr(0, length);
    check_input(word_at<uint32_t>(rest, length) == masked_crc(payload), "{}: record {} has a wrong checksum", file.string(), number);
    check_input(collect_scalars(payload, events), "{}: record {} is not an Event message", file.string(), number);
    rest.remove_prefix(length + kTailBytes);
  }
  return events;
}

}  // namespace linden
