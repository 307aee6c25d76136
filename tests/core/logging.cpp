#include "core/logging.h"

#include <ATen/Parallel.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <csignal>

#include "core/device.h"
#include "core/error.h"
#include "core/files.h"
#include "core/progress.h"
#include "tests/support/support.h"

using namespace linden;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::Matches;

TEST_CASE("log lines reach the two files of a folder, escaped for machines", "[unit]") {
  test::TemporaryFolder folder;
  const int64_t before = warnings_logged();
  log_to_folder(folder.path);
  log_info("loss {}", 0.5);
  log_warning("a \"quoted\" {}", "\xff word");
  log_to_folder("");
  log_info("not in the files");
  CHECK(warnings_logged() == before + 1);
  const std::string text = read_text_file(folder / "log.txt"), lines = read_text_file(folder / "log.jsonl");
  CHECK_THAT(text.substr(0, text.find('\n')), Matches("[0-9]{2}:[0-9]{2}:[0-9]{2}  info  loss 0.5"));
  CHECK_THAT(lines, ContainsSubstring(R"("level":"warning","message":"a \"quoted\" )"));
  CHECK_THAT(lines, !ContainsSubstring("not in the files"));
  CHECK(std::count(lines.begin(), lines.end(), '\n') == 2);
}

TEST_CASE("a log folder that is not there is the user's to fix", "[unit]") {
  test::TemporaryFolder folder;
  write_file_atomically(folder / "file", "");
  CHECK_THAT(test::message_of([&] { log_to_folder(folder / "file" / "x"); }), ContainsSubstring("cannot write the logs of this run"));
}

TEST_CASE("logs that cannot be written are reported once, in our words", "[unit]") {
  test::TemporaryFolder folder;
  int ends[2];
  REQUIRE(pipe2(ends, O_NONBLOCK) == 0);
  const int before = dup(STDERR_FILENO);
  rlimit limit{};
  getrlimit(RLIMIT_FSIZE, &limit);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  log_to_folder(folder.path);
  dup2(ends[1], STDERR_FILENO);
  const rlimit nothing{0, limit.rlim_max};  // as a full disk: no file may grow
  setrlimit(RLIMIT_FSIZE, &nothing);
  log_info("first");
  log_info("second");
  setrlimit(RLIMIT_FSIZE, &limit);
  dup2(before, STDERR_FILENO);
  log_to_folder("");
  std::signal(SIGXFSZ, handler);
  std::string shown(4096, '\0');
  shown.resize(static_cast<size_t>(std::max<ssize_t>(read(ends[0], shown.data(), shown.size()), 0)));
  for (const int descriptor : {ends[0], ends[1], before}) close(descriptor);
  CHECK_THAT(shown, ContainsSubstring("info  first\n") && ContainsSubstring("info  second\n"));
  const std::string warning = "warning: " + folder.path.string() + ": the logs of this run (log.txt, log.jsonl) cannot be written: ";
  CHECK_THAT(shown, ContainsSubstring(warning) && ContainsSubstring("File too large"));
  CHECK(shown.find(warning) == shown.rfind(warning));
  CHECK_THAT(shown, !ContainsSubstring("LOG ERROR"));
}

TEST_CASE("progress shows rate and the time left", "[unit]") {
  Progress progress("train", 100, "step", 20);
  progress.update(40, "loss 0.1");
  CHECK(progress.line(10) == "train  40/100 step (40 %)  2.00 step/s  ETA 0:30  loss 0.1");
  progress.update(100);
  CHECK(progress.line(4000) == "train  100/100 step (100 %)  0.02 step/s  in 1:06:40");
  Progress fresh("tree", 100, "NFE");
  CHECK(fresh.line(0) == "tree  0/100 NFE (0 %)  ETA ?");
}

TEST_CASE("SIGTERM is a request that a loop can see", "[unit]") {
  install_interrupt_handler();
  clear_interrupt();
  CHECK_FALSE(interrupt_requested());
  kill(getpid(), SIGTERM);
  CHECK(interrupt_requested());
  clear_interrupt();
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
}

TEST_CASE("device names", "[unit]") {
  CHECK(select_device("cpu") == at::Device(at::kCPU));
  CHECK_THAT(test::message_of([] { select_device("gpu"); }), ContainsSubstring("device is \"gpu\", allowed: auto, cpu, cuda, cuda:N"));
  CHECK_THROWS_AS(select_device("cuda:x"), InputError);
  CHECK_THAT(test::message_of([] { select_device("cuda:99"); }), ContainsSubstring("use --device cpu or --device auto"));
  RunConfig run;
  run.device = "cpu";
  run.threads = 1;
  CHECK(set_up_device(run, Float32Math::kExact).is_cpu());
  CHECK(at::get_num_threads() == 1);
}
