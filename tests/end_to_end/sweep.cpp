// `linden sweep` as a user runs it: killed, interrupted, gone on with, grown, failing.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <sstream>
#include <thread>

#include "core/config.h"
#include "core/files.h"
#include "experiment/sweep_journal.h"
#include "tests/support/support.h"

using namespace linden;
using namespace linden::test;
using Catch::Matchers::ContainsSubstring;

namespace {

namespace fs = std::filesystem;

// Six cells; the tree is saved so often that a kill nearly always finds one.
constexpr const char* kSixCells = R"({"command": "align", "config": "configs/align/gmm_dts.json", "set": {"num_samples": 32, "save_every_seconds": 0.02},
  "axes": {"nfe": [2000, 30000], "seed": [1, 2, 3]}, "processes": 2})";

fs::path write_sweep(const TemporaryFolder& folder, const std::string& text) {
  write_file_atomically(folder / "sweep.json", text);
  return folder / "sweep.json";
}

CommandResult sweep(const fs::path& file, const fs::path& output, const std::string& more = "") {
  return run_linden("sweep " + file.string() + " --output " + output.string() + " " + more);
}

// Starts `linden sweep`; returns its process id.
pid_t start_sweep(const fs::path& file, const fs::path& output, const char* more = nullptr) {
  const pid_t pid = fork();
  if (pid == 0) {
    const std::string log = output.string() + ".log";
    if (!freopen(log.c_str(), "w", stdout) || dup2(STDOUT_FILENO, STDERR_FILENO) < 0) _exit(126);
    execl(LINDEN_BINARY, "linden", "sweep", file.c_str(), "--output", output.c_str(), more, nullptr);
    _exit(127);
  }
  return pid;
}

int wait_for(pid_t pid) {
  int status = 0;
  waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void sleep_ms(int64_t ms) { std::this_thread::sleep_for(std::chrono::milliseconds(ms)); }

// Processes whose command line names `text`.
int64_t num_processes(const std::string& text) {
  int64_t count = 0;
  for (const auto& entry : fs::directory_iterator("/proc")) {
    if (entry.path().filename().string().find_first_not_of("0123456789") != std::string::npos) continue;
    std::ifstream in(entry.path() / "cmdline", std::ios::binary);
    std::ostringstream line;
    line << in.rdbuf();
    count += line.str().find(text) != std::string::npos;
  }
  return count;
}

// A killed process needs a moment to vanish.
int64_t num_processes_soon(const std::string& text) {
  for (int i = 0; i < 100 && num_processes(text) > 0; ++i) sleep_ms(10);
  return num_processes(text);
}

// What a cell decided, without times and folders; samples.h5 to the byte.
std::map<std::string, std::string> decided(const fs::path& run) {
  std::map<std::string, std::string> values = {{"samples.h5", read_text_file(run / "samples.h5")}};
  for (const JsonScalar& scalar : flatten_json(run / "summary.json")) values[scalar.path] = scalar.text;
  for (const char* key : {"run", "wall_seconds", "search_seconds", "nfe_per_second", "bookkeeping_share"}) values.erase(key);
  return values;
}

std::vector<std::string> cells_of(const fs::path& output) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(output / "cells")) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

struct Counts {
  int64_t starts = 0, ends = 0, starts_after_end = 0, resumed = 0;  // ends: to its very end, by the journal
};
std::map<std::string, Counts> journal_counts(const fs::path& output) {
  std::map<std::string, Counts> counts;
  for (const JournalEvent& event : Journal(output / "journal.jsonl").read()) {
    Counts& cell = counts[event.cell];
    if (event.event == "start") {
      ++cell.starts;
      cell.resumed += event.resumed;
      cell.starts_after_end += cell.ends > 0;
    }
    if (event.result == "done") ++cell.ends;
  }
  return counts;
}

int64_t num_started(const fs::path& output) {
  int64_t starts = 0;
  for (const auto& [cell, counts] : journal_counts(output)) starts += counts.starts;
  return starts;
}

}  // namespace

TEST_CASE("a sweep that is killed goes on, and every cell runs to its end exactly once", "[e2e]") {
  const TemporaryFolder folder;
  const fs::path file = write_sweep(folder, kSixCells), whole = folder / "whole";
  const CommandResult reference = sweep(file, whole);
  INFO(reference.output);
  REQUIRE(reference.exit_code == 0);
  const std::vector<std::string> names = cells_of(whole);
  REQUIRE(names.size() == 6);

  const unsigned seed = std::random_device{}();
  std::mt19937 random(seed);
  std::uniform_int_distribution<int64_t> delay(0, 500);
  const fs::path output = folder / "killed";
  std::string resume, kills;
  for (int trial = 0; trial < 4; ++trial) {
    const int64_t ms = delay(random);
    kills += " " + std::to_string(ms);
    const int64_t started = fs::exists(output) ? num_started(output) : 0;
    const pid_t pid = start_sweep(file, output, resume.empty() ? nullptr : resume.c_str());
    // However slow the machine: counted from when a cell of this sweep has begun. The first kill comes at any moment.
    for (int i = 0; trial > 0 && i < 1000 && num_started(output) == started && !fs::exists(output / "summary.json"); ++i) sleep_ms(5);
    sleep_ms(ms);
    kill(pid, SIGKILL);
    wait_for(pid);
    INFO("random seed " << seed << ", killed ms after the first start:" << kills);
    CHECK(num_processes_soon(output.string()) == 0);
    resume = fs::exists(output / "sweep.lock") ? "--resume" : "";
  }
  INFO("random seed " << seed << ", killed ms after the first start:" << kills);
  const CommandResult resumed = sweep(file, output, resume);
  INFO(resumed.output);
  REQUIRE(resumed.exit_code == 0);

  CHECK(cells_of(output) == names);
  const auto counts = journal_counts(output);
  CHECK(counts.size() == 6);
  for (const auto& [cell, count] : counts) {
    INFO(cell);
    CHECK(count.ends == 1);
    CHECK(count.starts_after_end == 0);
    CHECK(decided(output / "cells" / cell) == decided(whole / "cells" / cell));
  }
}

TEST_CASE("an interrupted sweep lets its cells save, says how to go on, and goes on", "[e2e]") {
  const TemporaryFolder folder;
  const fs::path output = folder / "out";
  const fs::path file =
      write_sweep(folder, R"({"command": "align", "config": "configs/align/gmm_dts.json", "set": {"num_samples": 8, "save_every_seconds": 0.05},
    "axes": {"nfe": [150000], "seed": [1, 2]}, "processes": 2})");
  const pid_t pid = start_sweep(file, output);
  for (int i = 0; i < 30000 && !fs::exists(output / "cells/nfe=150000,seed=1/tree.h5"); ++i) sleep_ms(10);
  kill(pid, SIGINT);
  CHECK(wait_for(pid) == 130);
  CHECK(num_processes_soon(output.string()) == 0);
  CHECK_THAT(read_text_file(folder / "out.log"), ContainsSubstring("the same command with --resume goes on"));
  CHECK_THAT(read_text_file(output / "status.json"), ContainsSubstring("\"state\": \"interrupted\""));
  CHECK_FALSE(fs::exists(output / "summary.json"));
  CHECK(sweep(file, output, "--resume").exit_code == 0);
  CHECK(journal_counts(output).at("nfe=150000,seed=1").resumed == 1);
}

TEST_CASE("a value that is added later runs alone; a setting that changed is refused", "[e2e]") {
  const TemporaryFolder folder;
  const fs::path output = folder / "out";
  fs::copy_file("configs/align/gmm_dts.json", folder / "base.json");
  const auto text = [](const std::string& seeds, const std::string& samples) {
    return R"({"command": "align", "config": "base.json", "set": {"nfe": 400, "num_samples": )" + samples + R"(}, "axes": {"seed": )" + seeds + "}}";
  };
  REQUIRE(sweep(write_sweep(folder, text("[1, 2]", "8")), output).exit_code == 0);
  const CommandResult dry = sweep(write_sweep(folder, text("[1, 3]", "8")), output, "--resume --dry-run");
  CHECK_THAT(dry.output, ContainsSubstring("seed=1  (done)") && ContainsSubstring("to run          1,") && ContainsSubstring("NFE to run      400") &&
                             ContainsSubstring("not in the grid 1 (kept)"));
  write_file_atomically(folder / "base.json", R"({"prior": {"type": "gaussian_mixture"}, "method": {"type": "best_of_n"}})");
  const CommandResult grown = sweep(folder / "sweep.json", output, "--resume");
  INFO(grown.output);
  REQUIRE(grown.exit_code == 0);
  CHECK(num_started(output) == 3);
  CHECK(cells_of(output) == std::vector<std::string>{"seed=1", "seed=2", "seed=3"});
  CHECK_THAT(read_text_file(output / "cells/seed=3/config.json"), ContainsSubstring("\"type\": \"dts\""));  // of the base as it was frozen
  CHECK_THAT(read_text_file(output / "sweep.md"), ContainsSubstring("| 2 | not in the grid any more |"));

  const CommandResult changed = sweep(write_sweep(folder, text("[1, 3]", "9")), output, "--resume");
  CHECK(changed.exit_code == 2);
  CHECK_THAT(changed.output, ContainsSubstring("num_samples is 8 there and 9 now for the cell seed=1"));
  const CommandResult again = sweep(write_sweep(folder, text("[1, 3]", "8")), output, "--retry 'seed=3'");
  CHECK(again.exit_code == 0);
  CHECK(journal_counts(output).at("seed=3").starts == 2);
  CHECK(journal_counts(output).at("seed=1").starts == 1);

  const CommandResult report = run_linden("report " + output.string() + " --output " + (folder / "report").string());
  INFO(report.output);
  CHECK(report.exit_code == 0);
  CHECK_THAT(report.output, ContainsSubstring("3 run(s) reported: "));
}

TEST_CASE("--only runs some cells now and leaves the others for --resume", "[e2e]") {
  const TemporaryFolder folder;
  const fs::path output = folder / "out";
  const fs::path file = write_sweep(
      folder, R"({"command": "align", "config": "configs/align/gmm_dts.json", "set": {"nfe": 400, "num_samples": 8}, "axes": {"seed": [1, 2, 3]}})");
  CHECK_THAT(sweep(file, output, "--only 'seed=[23]' --dry-run").output, ContainsSubstring("to run          2,"));
  const CommandResult first = sweep(file, output, "--only 'seed=[23]'");
  INFO(first.output);
  REQUIRE(first.exit_code == 0);
  CHECK(cells_of(output) == std::vector<std::string>{"seed=2", "seed=3"});
  CHECK_THAT(first.output, ContainsSubstring("2 of 3 cells are done in ") && ContainsSubstring("--resume without --only runs the rest"));
  CHECK(sweep(file, output, "--resume --only 'seed=2'").exit_code == 0);  // done already: not again
  CHECK(num_started(output) == 2);
  CHECK(sweep(file, output, "--resume").exit_code == 0);
  CHECK(cells_of(output) == std::vector<std::string>{"seed=1", "seed=2", "seed=3"});
  CHECK(num_started(output) == 3);
  const CommandResult none = sweep(file, output, "--resume --only seed=4");
  CHECK(none.exit_code == 2);
  CHECK_THAT(none.output, ContainsSubstring("--only seed=4: no cell has this name; did you mean 'seed="));
}

TEST_CASE("cells that fail are listed with their last words, the others run", "[e2e]") {
  const TemporaryFolder folder;
  const auto text = [](const std::string& more) {
    return R"({"command": "align", "config": "configs/align/gmm_dts.json", "set": {"nfe": 400, "num_samples": 8}, "axes": {"judge.folder": ["nowhere", ""]})" +
           more + "}";
  };
  const CommandResult result = sweep(write_sweep(folder, text(R"(, "retries": 2)")), folder / "out");
  CHECK(result.exit_code == 1);
  CHECK_THAT(result.output, ContainsSubstring("1 of 2 cells failed in") && ContainsSubstring("folder=nowhere: exit code 2; ") &&
                                ContainsSubstring("error: nowhere: no such model folder"));
  CHECK(journal_counts(folder / "out").at("folder=nowhere").starts == 1);  // bad input is not tried again
  CHECK(journal_counts(folder / "out").at("folder=empty").ends == 1);
  const CommandResult stopped = sweep(write_sweep(folder, text(R"(, "on_failure": "stop")")), folder / "stopped");
  CHECK(stopped.exit_code == 1);
  CHECK_FALSE(fs::exists(folder / "stopped/cells/folder=empty"));
}

TEST_CASE("a cell whose saved state is broken is begun anew, and the broken folder is kept", "[e2e]") {
  const TemporaryFolder folder;
  const fs::path output = folder / "out", cell = output / "cells/seed=1";
  const fs::path file =
      write_sweep(folder, R"({"command": "align", "config": "configs/align/gmm_dts.json", "set": {"nfe": 400, "num_samples": 8}, "axes": {"seed": [1]}})");
  REQUIRE(sweep(file, output).exit_code == 0);
  const auto whole = decided(cell);
  fs::remove(cell / "summary.json");
  write_file_atomically(cell / "tree.h5", "no tree");
  const CommandResult result = sweep(file, output, "--resume");
  INFO(result.output);
  CHECK(result.exit_code == 0);
  const Counts counts = journal_counts(output).at("seed=1");
  CHECK(counts.starts == 3);
  CHECK(counts.resumed == 1);
  CHECK(decided(cell) == whole);
  CHECK(read_text_file(output / "attempts/seed=1#1/tree.h5") == "no tree");
}

TEST_CASE("linden sweep says what is wrong before anything runs", "[e2e]") {
  const TemporaryFolder folder;
  const std::vector<std::pair<std::string, std::string>> cases = {
      {R"({"command": "algin", "config": "configs/align/gmm_dts.json", "axes": {"seed": [1]}})",
       "command is \"algin\", which linden does not have; did you mean \"align\"?"},
      {R"({"command": "doctor", "config": "configs/align/gmm_dts.json", "axes": {"seed": [1]}})",
       "command is \"doctor\", which does not run a config file; these do: train,"},
      {R"({"command": "bench", "config": "configs/bench/digits_unet.json", "axes": {"seed": [1]}})", "but it is used as: linden bench sampler config.json"},
      {R"({"command": "align", "config": "configs/align/gmm_dst.json", "axes": {"seed": [1]}})",
       "config is \"configs/align/gmm_dst.json\", but there is neither"},
  };
  for (const auto& [text, message] : cases) {
    const CommandResult result = sweep(write_sweep(folder, text), folder / "out");
    INFO(text);
    CHECK(result.exit_code == 2);
    CHECK_THAT(result.output, ContainsSubstring(message));
    CHECK_FALSE(fs::exists(folder / "out"));
  }
  const CommandResult bench = run_linden(
      "sweep " + write_sweep(folder, R"({"command": "bench sampler", "config": "configs/bench/digits_unet.json", "axes": {"steps": [1, 2]}})").string() +
      " --dry-run");
  CHECK(bench.exit_code == 0);
  CHECK_THAT(bench.output, ContainsSubstring("steps=2"));
  CHECK_THAT(run_linden("sweep nothing.json").output, ContainsSubstring("there is no sweep file 'nothing.json'"));
}

TEST_CASE("the shipped sweep is valid", "[e2e]") {
  const CommandResult result = run_linden("sweep configs/sweep/gmm_methods.json --dry-run");
  INFO(result.output);
  CHECK(result.exit_code == 0);
  CHECK_THAT(result.output, ContainsSubstring("cells           18"));
}
