// Every writer meets a disk that is full: the old file survives, the temporary one goes, and the message says why.
#include <ATen/ATen.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/generators/catch_generators_range.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <functional>
#include <optional>

#include "core/files.h"
#include "io/event_log.h"
#include "io/hdf5.h"
#include "io/idx.h"
#include "io/png.h"
#include "io/safetensors.h"
#include "tests/support/support.h"

using namespace linden;
using Catch::Matchers::ContainsSubstring;
using linden::test::message_of;

namespace {

constexpr size_t kRoom = 256 << 10;  // bytes

// A file system with `kRoom` bytes; needs root.
class SmallDisk {
 public:
  SmallDisk() { mounted_ = ::mount("tmpfs", folder_.path.c_str(), "tmpfs", 0, "size=256k") == 0; }
  ~SmallDisk() {
    if (mounted_) ::umount2(folder_.path.c_str(), MNT_DETACH);
  }
  bool mounted() const { return mounted_; }
  std::filesystem::path path() const { return folder_.path; }

 private:
  test::TemporaryFolder folder_;
  bool mounted_ = false;
};

// No file of this process may grow past `kRoom`: writes fail with EFBIG.
class FileSizeLimit {
 public:
  FileSizeLimit() {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    rlimit limit = before_;
    limit.rlim_cur = kRoom;
    handler_ = ::signal(SIGXFSZ, SIG_IGN);
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    ::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_{};
  void (*handler_)(int) = SIG_DFL;
};

// Noise that no compression shrinks below the room.
at::Tensor noise(int64_t count) { return at::randint(0, 256, {count}, at::kByte); }

void write_many_arrays(const std::filesystem::path& path, int64_t count) {
  Hdf5Writer writer(path);
  for (int64_t i = 0; i < count; ++i) writer.write("group/array" + std::to_string(i), noise(100));
  writer.close();
}

void write_one_array(const std::filesystem::path& path, int64_t count) {
  Hdf5Writer writer(path);
  writer.write("x", noise(count));
  writer.close();
}

struct Case {
  const char* name;
  std::function<void(const std::filesystem::path&)> write_small, write_large;
};

const std::vector<Case>& cases() {
  static const std::vector<Case> kCases{
      {"safetensors",
       [](const auto& path) {
         save_safetensors(path, {{"x", noise(100)}});
       },
       [](const auto& path) {
         save_safetensors(path, {{"x", noise(1 << 20)}});
       }},
      {"HDF5, one large array", [](const auto& path) { write_one_array(path, 100); }, [](const auto& path) { write_one_array(path, 4 << 20); }},
      {"HDF5, many small arrays", [](const auto& path) { write_many_arrays(path, 3); }, [](const auto& path) { write_many_arrays(path, 4000); }},
      {"PNG",
       [](const auto& path) {
         write_png(path, noise(100).view({1, 10, 10}));
       },
       [](const auto& path) {
         write_png(path, noise(1 << 20).view({1, 1024, 1024}));
       }},
      {"IDX", [](const auto& path) { write_idx(path, noise(100), false); }, [](const auto& path) { write_idx(path, noise(1 << 20), false); }},
      {"IDX, gzip", [](const auto& path) { write_idx(path, noise(100), true); }, [](const auto& path) { write_idx(path, noise(1 << 20), true); }}};
  return kCases;
}

void check_case(const Case& writer, const std::filesystem::path& folder, const char* reason) {
  const auto path = folder / "file";
  writer.write_small(path);
  const std::string before = read_text_file(path);
  for (int attempt = 0; attempt < 2; ++attempt) {  // a failure leaves nothing behind that spoils the next
    const std::string message = message_of([&] { writer.write_large(path); });
    CHECK_THAT(message, ContainsSubstring(path.string()));
    CHECK_THAT(message, ContainsSubstring(reason));
    CHECK(read_text_file(path) == before);
    CHECK(std::distance(std::filesystem::directory_iterator(folder), {}) == 1);
  }
  writer.write_small(path);
}

}  // namespace

TEST_CASE("a full disk leaves the old file", "[unit]") {
  const Case& writer = cases()[GENERATE(range(size_t{0}, size_t{6}))];
  SmallDisk disk;
  if (!disk.mounted()) SKIP("mounting a small file system needs root");
  INFO(writer.name);
  check_case(writer, disk.path(), "No space left on device");
}

TEST_CASE("a file size limit leaves the old file", "[unit]") {
  const Case& writer = cases()[GENERATE(range(size_t{0}, size_t{6}))];
  test::TemporaryFolder folder;
  FileSizeLimit limit;
  INFO(writer.name);
  check_case(writer, folder.path, "File too large");
}

TEST_CASE("the event log reports a full disk and goes on when there is room again", "[unit]") {
  test::TemporaryFolder folder;
  EventLog log(folder.path);
  {
    FileSizeLimit limit;
    CHECK_THAT(message_of([&] {
                 for (int i = 0; i < 20'000; ++i) log.scalar(i, "loss", i);
                 log.flush();
               }),
               ContainsSubstring("cannot be written: File too large"));
  }
  log.flush();
  CHECK(read_scalar_events(std::filesystem::directory_iterator(folder.path)->path()).size() > 8'000);
}
