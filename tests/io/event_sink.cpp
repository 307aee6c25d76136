#include "io/event_sink.h"

#include <ATen/ATen.h>

#include <catch2/catch_test_macros.hpp>

#include "core/files.h"
#include "io/png.h"
#include "tests/support/support.h"

using namespace linden;

TEST_CASE("events of later steps are cut, the others stay readable", "[unit]") {
  test::TemporaryFolder folder;
  write_png(folder / "a.png", at::zeros({1, 4, 6}, at::kByte));
  {
    EventSink sink(folder.path);
    for (int64_t step : {0, 10, 200, 300}) sink.scalar(step, "loss", static_cast<double>(step));
    sink.image(300, "samples", folder / "a.png");
    sink.flush();
  }
  std::filesystem::path file;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path))
    if (entry.path().filename().string().rfind("events.", 0) == 0) file = entry.path();
  REQUIRE_FALSE(file.empty());
  CHECK(read_scalar_events(file).size() == 4);
  CHECK(cut_events_after(file, 300) == 0);
  CHECK(cut_events_after(file, 150) == 3);
  const std::vector<ScalarEvent> events = read_scalar_events(file);
  REQUIRE(events.size() == 2);
  CHECK(events[1].step == 10);
  CHECK(events[1].value == 10);

  write_file_atomically(file, read_text_file(file) + "half a record");
  CHECK(cut_events_after(file, 150) == 1);
  CHECK(read_scalar_events(file).size() == 2);
}

TEST_CASE("a damaged record does not send the cutting of events round in circles", "[unit]") {
  test::TemporaryFolder folder;
  // One record whose message has a field of 2^64 - 11 bytes: the place behind it, counted modulo 2^64, is the field itself.
  const std::string message = std::string("\x0a\xf5\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11);
  const std::string record = std::string("\x0b\0\0\0\0\0\0\0????", 12) + message + "????";
  write_file_atomically(folder / "events", record);
  CHECK(cut_events_after(folder / "events", 5) == 0);
  CHECK(read_text_file(folder / "events") == record);
}
