// linden sample from the command line.
#include <sys/mount.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "core/files.h"
#include "tests/support/support.h"

using namespace linden;
using Catch::Matchers::ContainsSubstring;

TEST_CASE("linden sample: --resume does not cut finished samples off", "[e2e]") {
  test::TemporaryFolder folder;
  write_file_atomically(folder / "s.json", R"({"prior": {"type": "gaussian_mixture"}, "device": "cpu", "threads": 1,
    "sampler": {"type": "ddim", "num_steps": 5, "clip_sample": false}})");
  const std::string sample = "sample " + (folder / "s.json").string() + " --output " + (folder / "run").string() + " --set num_samples=";
  REQUIRE(test::run_linden(sample + "12").exit_code == 0);
  const std::string before = read_text_file(folder / "run/samples.h5");
  const test::CommandResult fewer = test::run_linden(sample + "10 --resume");
  CHECK(fewer.exit_code == 2);
  CHECK_THAT(fewer.output, ContainsSubstring("samples.h5: holds 12 samples already, but num_samples is 10, which would cut the others off; "
                                             "set num_samples to 12 or more, or start another run without --resume"));
  CHECK(read_text_file(folder / "run/samples.h5") == before);
  const test::CommandResult more = test::run_linden(sample + "14 --resume");
  INFO(more.output);
  CHECK(more.exit_code == 0);
  CHECK_THAT(more.output, ContainsSubstring("resumed with 12 finished samples"));
}

TEST_CASE("linden sample: a disk that is full at the start is one clean line, and no half run stays", "[e2e]") {
  test::TemporaryFolder folder;
  if (::mount("tmpfs", folder.path.c_str(), "tmpfs", 0, "size=64k") != 0) SKIP("mounting a small file system needs root");
  const auto unmount = [&] { ::umount2(folder.path.c_str(), MNT_DETACH); };
  test::CommandResult full, free_again;
  try {
    test::TemporaryFolder elsewhere;
    write_file_atomically(elsewhere / "s.json", R"({"prior": {"type": "gaussian_mixture"}, "device": "cpu", "threads": 1, "num_samples": 4,
      "sampler": {"type": "ddim", "num_steps": 5, "clip_sample": false}})");
    const std::string command = "sample " + (elsewhere / "s.json").string() + " --output " + (folder / "run").string();
    test::run_shell("head -c 64k /dev/zero > " + (folder / "filler").string() + " 2>/dev/null");
    full = test::run_linden(command);
    std::filesystem::remove(folder / "filler");
    free_again = test::run_linden(command);
  } catch (...) {
    unmount();
    throw;
  }
  unmount();
  INFO(full.output << "\n" << free_again.output);
  CHECK(full.exit_code != 0);
  CHECK_THAT(full.output, ContainsSubstring("error: " + (folder / "run").string()) && ContainsSubstring("No space left on device"));
  CHECK(free_again.exit_code == 0);
}
