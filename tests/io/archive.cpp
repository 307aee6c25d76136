// Members of tar.xz archives: what is read, and what is said of the ones that cannot be.
#include "io/archive.h"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "core/error.h"
#include "core/files.h"
#include "io/digest.h"
#include "tests/support/support.h"

using namespace linden;
using Catch::Matchers::ContainsSubstring;
using linden::test::message_of;
using linden::test::TemporaryFolder;

namespace {

const std::filesystem::path kArchive = "tests/golden/data/cifar/two_batches.tar.xz";
constexpr size_t kRecord = 3073;

}  // namespace

TEST_CASE("members of a tar.xz by their last names", "[golden]") {
  if (archive_library().empty()) SKIP("built without libarchive");
  const auto members = read_archive(kArchive, {{"test_batch.bin", kRecord}, {"data_batch_2.bin", 2 * kRecord}});
  REQUIRE(members.size() == 2);
  CHECK(md5_hex(members.at("data_batch_2.bin")) == "a59d432c66b1196ebc743b26460d0e38");  // scripts/golden/make_cifar.py prints them
  CHECK(md5_hex(members.at("test_batch.bin")) == "3d38349f3a09dc7cb38be8fcf2e39d07");
}

TEST_CASE("archives that cannot be read", "[unit]") {
  if (archive_library().empty()) SKIP("built without libarchive");
  TemporaryFolder folder;
  const auto file = folder / "a.tar.xz";
  const auto refusal = [&](const std::string& bytes) {
    write_file_atomically(file, bytes);
    CHECK_THROWS_AS(read_archive(file, {{"test_batch.bin", kRecord}}), InputError);
    return message_of([&] { read_archive(file, {{"test_batch.bin", kRecord}}); });
  };
  const std::string good = read_text_file(kArchive);
  const std::string unreadable = file.string() + ": the archive cannot be read (damaged, or not a tar archive): ";
  SECTION("a byte is wrong") {
    std::string damaged = good;
    damaged[damaged.size() / 2] = static_cast<char>(damaged[damaged.size() / 2] ^ 0x40);
    CHECK_THAT(refusal(damaged), ContainsSubstring(unreadable));
  }
  SECTION("cut short") { CHECK_THAT(refusal(good.substr(0, good.size() / 2)), ContainsSubstring(unreadable)); }
  SECTION("no archive at all") { CHECK_THAT(refusal("not an archive, but a line of text"), ContainsSubstring(unreadable)); }
  SECTION("another size") {
    CHECK(message_of([&] {
            read_archive(kArchive, {{"test_batch.bin", 10}});
          }) == kArchive.string() + ": its member test_batch.bin has more than 10 bytes, wanted 10");
    CHECK(message_of([&] {
            read_archive(kArchive, {{"test_batch.bin", 9999}});
          }) == kArchive.string() + ": its member test_batch.bin has 3073 bytes, wanted 9999");
  }
  SECTION("a member is missing") {
    CHECK(message_of([&] {
            read_archive(kArchive, {{"test_batch.bin", kRecord}, {"data_batch_5.bin", 1}});
          }) == kArchive.string() + ": the archive has no member data_batch_5.bin; it holds: batches.meta.txt, data_batch_2.bin, test_batch.bin");
  }
  SECTION("no such file") {
    CHECK(message_of([&] { read_archive(folder / "no.tar", {{"a", 1}}); }) == (folder / "no.tar").string() + ": no such file");
  }
}

TEST_CASE("a build without libarchive says how to do without", "[unit]") {
  if (!archive_library().empty()) SKIP("built with " + archive_library());
  CHECK(message_of([] {
          read_archive("cifar10/a.tar.xz", {{"a.bin", 1}});
        }) ==
        "cifar10/a.tar.xz: this linden was built without libarchive and reads no archives; unpack it: tar -C cifar10 -xf cifar10/a.tar.xz, "
        "or bring libarchive (apt-get install libarchive-dev) and build again");
}
