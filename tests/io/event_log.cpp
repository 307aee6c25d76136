#include "io/event_log.h"

#include <ATen/ATen.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "core/error.h"
#include "core/files.h"
#include "io/png.h"
#include "tests/support/support.h"

using namespace linden;
using Catch::Matchers::ContainsSubstring;
using linden::test::message_of;

namespace {

std::filesystem::path only_file(const std::filesystem::path& folder) { return std::filesystem::directory_iterator(folder)->path(); }

}  // namespace

TEST_CASE("scalars are read back, pictures beside them", "[unit]") {
  test::TemporaryFolder folder;
  const std::string png = encode_png(at::zeros({1, 4, 6}, at::kByte));
  {
    EventLog log(folder.path);
    log.scalar(0, "loss", 2.5);
    log.image(5, "samples", png, 4, 6);
    log.scalar(1'000'000'000'000, "größe/é", -1e-30);
    log.flush();
    log.scalar(7, "loss", NAN);
  }
  CHECK(only_file(folder.path).filename().string().starts_with("events.out.tfevents."));
  const auto events = read_scalar_events(only_file(folder.path));
  REQUIRE(events.size() == 3);
  CHECK(events[0].step == 0);
  CHECK(events[0].tag == "loss");
  CHECK(events[0].value == 2.5);
  CHECK(events[1].step == 1'000'000'000'000);
  CHECK(events[1].tag == "größe/é");
  CHECK(events[1].value == static_cast<double>(-1e-30f));
  CHECK(std::isnan(events[2].value));
}

TEST_CASE("the first record is that of TensorFlow, byte for byte but for the time", "[truth]") {
  test::TemporaryFolder folder;
  { EventLog log(folder.path); }
  const std::string bytes = read_text_file(only_file(folder.path));
  REQUIRE(bytes.size() == 12 + 24 + 4);
  // Length 24 and its masked CRC32C: the same in every file that TensorFlow's writers begin.
  CHECK(bytes.substr(0, 12) == std::string("\x18\0\0\0\0\0\0\0\xa3\x7f\x4b\x22", 12));
  CHECK(bytes[12] == 0x09);  // field 1, a double
  CHECK(bytes.substr(21, 15) ==
        "\x1a\x0d"
        "brain.Event:2");  // field 3, text
}

TEST_CASE("two logs in one folder get two files", "[unit]") {
  test::TemporaryFolder folder;
  EventLog first(folder.path), second(folder.path);
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path), {}) == 2);
  CHECK_THAT(message_of([&] { EventLog log(folder / "none"); }), ContainsSubstring("cannot be created: No such file"));
}

TEST_CASE("damaged event files", "[unit]") {
  test::TemporaryFolder folder;
  {
    EventLog log(folder.path);
    log.scalar(3, "loss", 1);
  }
  const auto path = only_file(folder.path);
  const std::string whole = read_text_file(path);
  const auto problem = [&](const std::string& bytes) {
    write_file_atomically(path, bytes);
    return message_of([&] { read_scalar_events(path); });
  };
  CHECK(problem(whole).empty());
  CHECK_THAT(problem(whole.substr(0, 45)), ContainsSubstring("record 1 is cut short"));
  CHECK_THAT(problem(whole.substr(0, whole.size() - 1)), ContainsSubstring("record 1 is cut short"));
  std::string length = whole, content = whole;
  length[40] = static_cast<char>(length[40] ^ 1);
  content[56] = static_cast<char>(content[56] ^ 1);
  CHECK_THAT(problem(length), ContainsSubstring("the length of record 1 has a wrong checksum"));
  CHECK_THAT(problem(content), ContainsSubstring("record 1 has a wrong checksum"));
  CHECK_THROWS_AS(read_scalar_events(folder / "none"), InputError);
}
