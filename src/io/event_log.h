// TensorBoard event files: TFRecord framing with masked CRC32C around Event protocol buffers.
// Formats: tensorflow/tensorflow core/lib/io/record_writer.h, core/util/event.proto, core/framework/summary.proto.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace linden {

class EventLog {
 public:
  explicit EventLog(const std::filesystem::path& folder);  // events.out.tfevents.<time>.<host>.<pid>
  ~EventLog();
  void scalar(int64_t step, const std::string& tag, double value);
  void image(int64_t step, const std::string& tag, const std::string& png, int64_t height, int64_t width);
  void flush();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

struct ScalarEvent {
  int64_t step = 0;
  std::string tag;
  double value = 0;
};
// For tests and reports. InputError on a bad checksum or a cut record.
std::vector<ScalarEvent> read_scalar_events(const std::filesystem::path& file);

}  // namespace linden
