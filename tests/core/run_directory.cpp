#include "core/run_directory.h"

#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "core/error.h"
#include "core/files.h"
#include "core/logging.h"
#include "tests/support/support.h"

using namespace linden;
using Catch::Matchers::ContainsSubstring;
using linden::test::message_of;
using linden::test::TemporaryFolder;
namespace fs = std::filesystem;

namespace {

struct ToyConfig {
  int64_t nfe = 100;
  double rate = 0.1;
};
void visit_fields(FieldVisitor& v, ToyConfig& c) {
  visit(v, Field("nfe", "budget").at_least(1).changeable(), c.nfe);
  visit(v, Field("rate", "rate").above(0), c.rate);
}

struct ToySummary {
  double mean_reward = 1.5;
};
void visit_fields(FieldVisitor& v, ToySummary& s) { visit(v, Field("mean_reward", ""), s.mean_reward); }

// A run opened and closed again; returns its folder.
fs::path make_run(const fs::path& output, bool resume, ToyConfig config = {}, const std::string& command = "align") {
  ConfigRefOf<ToyConfig> ref(config);
  RunDirectory run({command, "toy", output, resume, "linden align toy.json"}, ref);
  return run.path();
}

// The default output is relative: work inside a temporary folder.
class WorkingFolder {
 public:
  WorkingFolder() : old_(fs::current_path()) { fs::current_path(folder_.path); }
  ~WorkingFolder() { fs::current_path(old_); }

 private:
  TemporaryFolder folder_;
  fs::path old_;
};

std::string number_in(const fs::path& file, const std::string& path) {
  for (const JsonScalar& scalar : flatten_json(file))
    if (scalar.path == path) return scalar.text;
  return "(absent)";
}

struct RecordingSink final : MetricsSink {
  explicit RecordingSink(std::vector<std::string>& lines) : lines_(lines) {}
  void scalar(int64_t step, const std::string& name, double value) override { lines_.push_back(fmt::format("{} {} {}", step, name, value)); }
  void image(int64_t step, const std::string& name, const fs::path& png) override { lines_.push_back(fmt::format("{} {} {}", step, name, png.string())); }
  void cut_after(int64_t step) override { lines_.push_back(fmt::format("cut {}", step)); }
  void flush() override { lines_.push_back("flush"); }
  std::vector<std::string>& lines_;
};

}  // namespace

TEST_CASE("a new run leaves config, command, environment and logs", "[unit]") {
  TemporaryFolder folder;
  const fs::path run = make_run(folder / "a", false);
  CHECK(number_in(run / "config.json", "nfe") == "100");
  CHECK(number_in(run / "command.json", "command") == "align");
  CHECK(number_in(run / "command.json", "command_lines") == "linden align toy.json");
  CHECK_FALSE(number_in(run / "environment.json", "libtorch").empty());
  CHECK_FALSE(number_in(run / "environment.json", "cpu").empty());
  CHECK_THAT(read_text_file(run / "log.txt"), ContainsSubstring("  info  starting align in "));
  CHECK_THAT(read_text_file(run / "log.jsonl"), ContainsSubstring("\"level\":\"info\",\"message\":\"starting align in "));
}

TEST_CASE("the default folder is the next free number, and --resume takes the newest run", "[unit]") {
  WorkingFolder here;
  CHECK(make_run("", false) == fs::path("runs/toy/001"));
  CHECK(make_run("", false) == fs::path("runs/toy/002"));
  fs::create_directories("runs/toy/004");  // no run: taken for numbering, not for resuming
  CHECK(make_run("", true) == fs::path("runs/toy/002"));
  CHECK(make_run("", false) == fs::path("runs/toy/005"));
}

TEST_CASE("a run never writes over another", "[unit]") {
  TemporaryFolder folder;
  make_run(folder / "a", false);
  CHECK_THAT(message_of([&] { make_run(folder / "a", false); }), ContainsSubstring("holds a run already; pass --resume"));
  fs::create_directories(folder / "b");
  write_file_atomically(folder / "b" / "config.json", "{}");
  CHECK_THROWS_AS(make_run(folder / "b", false), InputError);
  CHECK_THAT(message_of([&] { make_run(folder / "b", false); }), ContainsSubstring("belongs to something else: it holds a config.json"));
  write_file_atomically(folder / "c", "a file");
  CHECK_THAT(message_of([&] { make_run(folder / "c" / "d", false); }), ContainsSubstring("cannot make the run folder"));
}

TEST_CASE("a run folder has one process at work", "[unit]") {
  TemporaryFolder folder;
  ToyConfig config;
  ConfigRefOf<ToyConfig> ref(config);
  {
    const RunDirectory run({"align", "toy", folder / "a", false, "linden align toy.json"}, ref);
    CHECK_THAT(message_of([&] { make_run(folder / "a", true); }), ContainsSubstring("a: another process is at work in this run folder; wait for it"));
  }
  CHECK(make_run(folder / "a", true) == folder / "a");
}

TEST_CASE("--resume wants a run of the same command", "[unit]") {
  TemporaryFolder folder;
  CHECK_THAT(message_of([&] { make_run(folder / "a", true); }), ContainsSubstring("this folder holds no run"));
  make_run(folder / "a", false);
  CHECK_THAT(message_of([&] { make_run(folder / "a", true, {}, "train"); }), ContainsSubstring("belongs to a run of `linden align`, not `linden train`"));
  WorkingFolder here;
  CHECK_THAT(message_of([&] { make_run("", true); }), ContainsSubstring("runs/toy: --resume, but there is no run of this config"));
}

TEST_CASE("--resume takes a changeable key and names any other", "[unit]") {
  TemporaryFolder folder;
  make_run(folder / "a", false);
  CHECK_THROWS_AS(make_run(folder / "a", true, {100, 0.2}), ConfigError);
  CHECK_THAT(message_of([&] {
               make_run(folder / "a", true, {100, 0.2});
             }),
             ContainsSubstring("rate is 0.1 there and 0.2 now; this key may not change within a run"));
  CHECK(number_in(folder / "a" / "config.json", "rate") == "0.1");
  make_run(folder / "a", true, {200, 0.1});
  CHECK(number_in(folder / "a" / "config.json", "nfe") == "200");
  CHECK_THAT(read_text_file(folder / "a" / "log.txt"), ContainsSubstring("resumed with nfe = 200 (was 100)"));
}

TEST_CASE("metrics.csv grows columns, keeps exact numbers and is cut on resume", "[unit]") {
  TemporaryFolder folder;
  std::vector<std::string> lines;
  ToyConfig config;
  ConfigRefOf<ToyConfig> ref(config);
  {
    RunDirectory run({"align", "toy", folder / "a", false, ""}, ref);
    run.add_sink(std::make_unique<RecordingSink>(lines));
    run.log_metrics(1, {{"loss", 0.1}});
    run.log_metrics(2, {{"loss", 1e-17}, {"rate", 3}});
    run.log_metrics(3, {{"rate", 4}});
    CHECK(read_text_file(run.file("metrics.csv")) == "step,loss,rate\n1,0.1,\n2,1e-17,3\n3,,4\n");
    CHECK(lines == std::vector<std::string>{"1 loss 0.1", "2 loss 1e-17", "2 rate 3", "3 rate 4"});
  }
  CHECK(lines.back() == "flush");
  RunDirectory run({"align", "toy", folder / "a", true, ""}, ref);
  run.add_sink(std::make_unique<RecordingSink>(lines));
  run.cut_metrics_after(2);
  CHECK(lines.back() == "cut 2");
  run.log_metrics(3, {{"loss", 7}});
  CHECK(read_text_file(run.file("metrics.csv")) == "step,loss,rate\n1,0.1,\n2,1e-17,3\n3,7,\n");
}

TEST_CASE("a half-written last row of metrics.csv is dropped by the cut", "[unit]") {
  TemporaryFolder folder;
  ToyConfig config;
  ConfigRefOf<ToyConfig> ref(config);
  make_run(folder / "a", false);
  write_file_atomically(folder / "a" / "metrics.csv", "step,loss\n1,0.5\n2,0.");
  RunDirectory run({"align", "toy", folder / "a", true, ""}, ref);
  run.cut_metrics_after(5);
  CHECK(read_text_file(run.file("metrics.csv")) == "step,loss\n1,0.5\n");
}

TEST_CASE("summary.json names the command and adds up the wall time of all parts", "[unit]") {
  TemporaryFolder folder;
  ToyConfig config;
  ConfigRefOf<ToyConfig> ref(config);
  make_run(folder / "a", false);
  const fs::path record = folder / "a" / "command.json";
  std::string text = read_text_file(record);
  text.replace(text.find("\"seconds\""), std::string::npos, "\"seconds\": [50.0]\n}\n");
  write_file_atomically(record, text);
  RunDirectory run({"align", "toy", folder / "a", true, ""}, ref);
  ToySummary summary;
  ConfigRefOf<ToySummary> summary_ref(summary);
  run.write_summary(summary_ref);
  CHECK(number_in(run.file("summary.json"), "command") == "align");
  CHECK(number_in(run.file("summary.json"), "mean_reward") == "1.5");
  const double seconds = std::stod(number_in(run.file("summary.json"), "wall_seconds"));
  CHECK(seconds >= 50);
  CHECK(seconds < 60);
}

TEST_CASE("a full disk leaves the old file and names the reason", "[unit]") {
  TemporaryFolder folder;
  write_file_atomically(folder / "a.json", "old");
  fs::create_symlink("/dev/full", folder / "a.json.tmp");
  const std::string message = message_of([&] { write_file_atomically(folder / "a.json", "new"); });
  CHECK_THAT(message, ContainsSubstring("No space left on device"));
  CHECK_THAT(message, ContainsSubstring("the old file is unchanged"));
  CHECK(read_text_file(folder / "a.json") == "old");
  CHECK_FALSE(fs::is_symlink(folder / "a.json.tmp"));
}

TEST_CASE("reading a missing file or a folder says so", "[unit]") {
  TemporaryFolder folder;
  CHECK_THAT(message_of([&] { read_text_file(folder / "nothing"); }), ContainsSubstring("No such file or directory"));
  CHECK_THAT(message_of([&] { read_text_file(folder.path); }), ContainsSubstring("it is a folder"));
}
