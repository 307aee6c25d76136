// Whole reports over run folders made by hand.
#include <ATen/ATen.h>

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cmath>

#include "core/config.h"
#include "core/error.h"
#include "core/files.h"
#include "experiment/csv_columns.h"
#include "experiment/report.h"
#include "experiment/run_curves.h"
#include "io/hdf5.h"
#include "tests/experiment/fake_runs.h"
#include "tests/support/support.h"

using namespace linden;
using namespace linden::test;
using Catch::Approx;

namespace {

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

void write_samples(const std::filesystem::path& run, const at::Tensor& samples) {
  Hdf5Writer writer(run / "samples.h5");
  writer.write("samples", samples);
  writer.write("reward", at::zeros({samples.size(0)}, at::kDouble));
  writer.close();
}

ReportConfig config_for(const TemporaryFolder& folder, const std::string& runs) {
  ReportConfig config;
  config.runs = {(folder / runs).string()};
  config.output = (folder / "out").string();
  return config;
}

}  // namespace

TEST_CASE("a report of align runs", "[unit]") {
  TemporaryFolder folder;
  for (const char* method : {"dts", "best_of_n"}) {
    for (const int digit : {3, 7}) {
      const auto run = write_run(folder / "runs" / method / std::to_string(digit), {.method = method, .digit = digit});
      write_samples(run, at::zeros({5, 1, 8, 8}));
      write_file_atomically(run / "curve.csv", "nfe,seconds,best_reward,mean_reward,root_value\n50,0.1,-2,-3,-4\n100,0.2,-1,-2,-3\n");
      write_file_atomically(run / "tree.svg", "<svg xmlns=\"http://www.w3.org/2000/svg\"/>");
    }
  }
  const ReportFiles files = write_report(config_for(folder, "runs"));
  CHECK(files.num_runs == 4);
  const std::string markdown = read_text_file(files.folder / "report.md"), html = read_text_file(files.folder / "report.html");
  CHECK(contains(markdown, "## Align: digit 3\n"));
  CHECK(contains(markdown, "## Align: digit 7\n"));
  CHECK(contains(markdown, "| DTS | 1,000 | **-0.500** |"));
  CHECK(contains(markdown, "![DTS](figures/align-1-samples-0.png)"));
  CHECK(contains(markdown, "figures/align-2-curve-root-value.svg"));
  CHECK(contains(markdown, "figures/align-1-tree.svg"));
  CHECK(std::filesystem::exists(files.folder / "figures/align-2-samples-1.png"));
  CHECK(contains(html, "Mean log reward"));
  CHECK(contains(html, "data:image/png;base64,"));
  CHECK(contains(html, "<svg"));
  CHECK_FALSE(contains(html, "What could not be shown"));
  CHECK(contains(read_text_file(files.folder / "report.csv"), "Align: digit 7,best_of_n,1,1000,0,-0.5,0,"));
  // The written config makes the same report again.
  ReportConfig again;
  read_config({files.folder / "report.json", {}, false}, again);
  write_report(again);
  CHECK(read_text_file(files.folder / "report.html") == html);
}

TEST_CASE("broken folders are listed with their reason, the rest is reported", "[unit]") {
  TemporaryFolder folder;
  const auto good = write_run(folder / "runs/good", {});
  write_file_atomically(good / "samples.h5", "no HDF5 file");
  write_file_atomically(good / "curve.csv", "nfe,mean_reward\n1,2,3\n");
  std::filesystem::create_directories(folder / "runs/cut");
  write_file_atomically(folder / "runs/cut/config.json", "{}");
  write_file_atomically(folder / "runs/cut/summary.json", "{\"command\": ");
  std::filesystem::create_directories(folder / "runs/nameless");
  write_file_atomically(folder / "runs/nameless/config.json", "{}");
  write_file_atomically(folder / "runs/nameless/summary.json", "{}");
  std::filesystem::create_directories(folder / "runs/unfinished");
  write_file_atomically(folder / "runs/unfinished/config.json", "{}");
  write_file_atomically(folder / "runs/unfinished/command.json", "{}");
  std::filesystem::create_directories(folder / "runs/half");
  write_file_atomically(folder / "runs/half/summary.json", "{\"command\": \"align\"}");
  std::filesystem::create_directories(folder / "runs/model");  // a model folder is no run
  write_file_atomically(folder / "runs/model/config.json", "{}");

  const RunCollection collection = collect_runs({folder / "runs"});
  REQUIRE(collection.runs.size() == 1);
  REQUIRE(collection.broken.size() == 4);
  CHECK(collect_runs({folder / "runs", folder / "runs", folder / "runs/good"}).runs.size() == 1);  // a folder counts once
  const ReportFiles files = write_report(config_for(folder, "runs"));
  CHECK(files.num_runs == 1);
  CHECK(files.num_broken == 4);
  const std::string html = read_text_file(files.folder / "report.html");
  CHECK(contains(html, "1 run from "));
  CHECK(contains(html, "4 runs could not be read and are listed at the end."));
  CHECK(contains(html, "unfinished: no summary.json: the run did not finish; go on with it by --resume"));
  CHECK(contains(html, "half: no config.json beside summary.json: this is not a whole run folder"));
  CHECK(contains(html, "no key &quot;command&quot;, so it is not known what was run"));
  CHECK(contains(html, "cut: "));
  CHECK(contains(html, "<td class=\"key\">DTS</td>"));
  // What is damaged inside a good run is said, too.
  CHECK(contains(html, "What could not be shown"));
  CHECK(contains(html, "samples.h5"));
  CHECK(contains(html, "curve.csv: line 2 has 3 cells, but the header has 2"));
}

TEST_CASE("folders without a run are refused in words", "[unit]") {
  TemporaryFolder folder;
  std::filesystem::create_directories(folder / "empty/inside");
  const std::string empty = (folder / "empty").string();
  CHECK(message_of([&] { collect_runs({folder / "empty"}); }) ==
        empty + ": no run found in 2 folder(s). A run is a folder with config.json and summary.json, as `linden align` or `linden train` leaves behind");
  CHECK(message_of([&] { collect_runs({folder / "missing"}); }) ==
        (folder / "missing").string() + ": there is no such folder; name a folder that holds run folders");
  CHECK(contains(message_of([] { collect_runs({}); }), "no folder of runs was named; give one or more: linden report runs/"));
  write_file_atomically(folder / "empty/inside/summary.json", "{}");
  CHECK(message_of([&] { collect_runs({folder / "empty"}); }) ==
        empty + ": none of the 1 run folder(s) can be reported:\n  inside: no config.json beside summary.json: this is not a whole run folder");
}

TEST_CASE("runs of different commands", "[unit]") {
  TemporaryFolder folder;
  write_run(folder / "runs/a", {});
  write_run(folder / "runs/b", {.method = "best_of_n"});
  std::filesystem::create_directories(folder / "runs/train");
  write_file_atomically(folder / "runs/train/config.json", R"({"seed": 1})");
  write_file_atomically(folder / "runs/train/summary.json", R"({"command": "train", "wall_seconds": 60, "test_accuracy": 0.991})");
  write_file_atomically(folder / "runs/train/metrics.csv", "step,loss\n1,2.5\n2,1.5\n3,1.0\n");
  ReportConfig config = config_for(folder, "runs");
  SECTION("a section each") {
    const ReportFiles files = write_report(config);
    const std::string markdown = read_text_file(files.folder / "report.md");
    CHECK(contains(markdown, "## Align: digit 3\n"));
    CHECK(contains(markdown, "## Runs of linden train\n"));
    CHECK(contains(markdown, "| train | 60 | 99.1 % |"));
    CHECK(contains(markdown, "figures/train-2-loss.svg"));
    write_file_atomically(folder / "runs/train/metrics.csv", "");  // a run that logged nothing
    CHECK_FALSE(contains(read_text_file(write_report(config).folder / "report.md"), "What could not be shown"));
  }
  SECTION("one table over them is refused") {
    config.columns = {"wall_seconds"};
    CHECK(message_of([&] { write_report(config); }) ==
          "one table over runs of different commands was asked for: align (2 runs), train (1 run). Their numbers do not compare: choose with "
          "\"command\", or leave \"rows\" and \"columns\" empty for a section per command");
    config.command = "train";
    CHECK(write_report(config).num_runs == 3);
  }
  SECTION("a command that nobody ran") {
    config.command = "sample";
    CHECK(message_of([&] { write_report(config); }) == "command: no run of \"sample\" was found; there are runs of: align (2 runs), train (1 run)");
  }
  SECTION("a column or key that no run has") {
    config.command = "align";
    config.columns = {"mean_rewrad"};
    CHECK(message_of([&] { write_report(config); }) == "columns: no run has the number \"mean_rewrad\"; the nearest one is \"mean_reward\"");
    config.columns = {};
    config.rows = {"method.typ"};
    CHECK(message_of([&] { write_report(config); }) == "rows: no run has the config key \"method.typ\"; the nearest one is \"method.type\"");
  }
  SECTION("keys, directions and labels that stand in no run") {
    config.over = {"sead"};
    CHECK(message_of([&] { write_report(config); }) == "over: no run has the config key \"sead\"; the nearest one is \"seed\"");
    config.over = {"seed", "reward.digit"};
    config.task = {"rewards"};
    CHECK(message_of([&] { write_report(config); }) == "task: no run has the config key \"rewards\"; the nearest one is \"reward\"");
    config.task = {"reward", "prior"};  // the usual ones: no run here has a prior
    config.lower_is_better = {"divercity"};
    CHECK(message_of([&] { write_report(config); }) == "lower_is_better: no run has the number \"divercity\"; the nearest one is \"diversity\"");
    config.lower_is_better = {"diversity"};
    config.labels = {"dtss=Tree"};
    CHECK(contains(message_of([&] { write_report(config); }), "labels: no run has the key, value, number or curve \"dtss\"; the nearest one is \"dts\""));
    config.labels = {"dts"};
    CHECK(message_of([&] { write_report(config); }) == "labels: \"dts\", wanted NAME=LABEL, for example \"dts=Tree sampling\"");
    config.labels = {"dts=Tree", "mean_reward=Reward", "nfe=Budget", "best_of_n=Best", "loss=Loss"};
    CHECK(contains(read_text_file(write_report(config).folder / "report.md"), "| Tree |"));
  }
  SECTION("a curve or axis that no run has") {
    config.command = "align";
    write_file_atomically(folder / "runs/a/curve.csv", "nfe,mean_reward\n10,-1\n20,-0.5\n");
    config.curves = {"mean_rewrad"};
    CHECK(message_of([&] { write_report(config); }) ==
          "curves: no run has the column of curve.csv or metrics.csv \"mean_rewrad\"; the nearest one is \"mean_reward\"");
    config.curves = {"mean_reward"};
    CHECK_NOTHROW(write_report(config));
    config.axis = "nfes";
    CHECK(message_of([&] { write_report(config); }) == "axis: no run has the column of curve.csv or metrics.csv \"nfes\"; the nearest one is \"nfe\"");
  }
}

TEST_CASE("numbers that a run wrote as lists have a column each", "[unit]") {
  TemporaryFolder folder;
  const auto write = [&](const std::string& name, const std::string& lists) {
    std::filesystem::create_directories(folder / "runs" / name);
    write_file_atomically(folder / "runs" / name / "config.json", R"({"seed": 1})");
    write_file_atomically(folder / "runs" / name / "summary.json", R"({"command": "bench-sampler", "run": "001", "device": "cpu", )" + lists + "}");
  };
  write("a", R"("batch_sizes": [1, 8], "eager_ms": [1.5, 4.25], "graph_ms": [])");
  write("b", R"("batch_sizes": [8], "eager_ms": [4.75], "graph_ms": [2.5], "shares": [0.25, 0.75])");
  ReportConfig config = config_for(folder, "runs");
  const std::string csv = read_text_file(write_report(config).folder / "report.csv");
  INFO(csv);
  for (const char* column : {"eager_ms.1", "eager_ms.8", "graph_ms.8", "shares.0", "shares.1"}) CHECK(contains(csv, column));
  for (const char* value : {"1.5", "4.25", "4.75", "2.5", "0.25", "0.75"}) CHECK(contains(csv, value));
  CHECK_FALSE(contains(csv, "run.0"));
  config.columns = {"eager_ms"};
  const std::string chosen = read_text_file(write_report(config).folder / "report.csv");
  CHECK(contains(chosen, "eager_ms.1"));
  CHECK(contains(chosen, "eager_ms.8"));
  CHECK_FALSE(contains(chosen, "graph_ms"));
}

TEST_CASE("points are drawn, other samples are left out", "[unit]") {
  TemporaryFolder folder;
  write_samples(write_run(folder / "runs/a", {}), at::randn({20, 2}));
  write_samples(write_run(folder / "runs/b", {.method = "best_of_n"}), at::randn({4, 7, 3}));
  const ReportFiles files = write_report(config_for(folder, "runs"));
  CHECK(std::filesystem::exists(files.folder / "figures/align-1-samples-0.svg"));
  CHECK_FALSE(std::filesystem::exists(files.folder / "figures/align-1-samples-1.svg"));
}

TEST_CASE("curves over several runs", "[unit]") {
  Curve a{"", {10, 20, 40}, {1, 2, 3}, {}, {}}, b{"", {15, 30}, {5, 7}, {}, {}};
  const Curve mean = mean_curve({a, b, Curve{}}, "both");
  // Where both are known: 15 .. 30; between points a curve keeps its last value.
  REQUIRE(mean.x == std::vector<double>{15, 20, 30});
  CHECK(mean.y == std::vector<double>{3, 3.5, 4.5});
  CHECK(mean.high[0] - mean.y[0] == Approx(std::sqrt(8.0)));
  CHECK(mean.y[0] - mean.low[0] == Approx(std::sqrt(8.0)));
  CHECK(mean_curve({a}, "one").low.empty());
  CHECK(mean_curve({}, "none").x.empty());
}

TEST_CASE("CSV columns", "[unit]") {
  TemporaryFolder folder;
  write_file_atomically(folder / "a.csv", "nfe,x\r\n1,2.5\r\n\r\n2,\n3,nan\n");
  const CsvColumns columns = read_csv_columns(folder / "a.csv");
  CHECK(*columns.find("nfe") == std::vector<double>{1, 2, 3});
  CHECK(columns.find("x")->at(0) == 2.5);
  CHECK(std::isnan(columns.find("x")->at(1)));
  CHECK(std::isnan(columns.find("x")->at(2)));
  CHECK(columns.find("y") == nullptr);
  write_file_atomically(folder / "c.csv", "step,x,y\n1,2,3\n2,2");  // killed while writing
  CHECK(*read_csv_columns(folder / "c.csv").find("step") == std::vector<double>{1});
  write_file_atomically(folder / "c.csv", "step,x,y\n2,2\n3,4,5\n");
  CHECK_THAT(message_of([&] { read_csv_columns(folder / "c.csv"); }), Catch::Matchers::ContainsSubstring("line 2 has 2 cells, but the header has 3"));
  write_file_atomically(folder / "b.csv", "");
  CHECK(message_of([&] { read_csv_columns(folder / "b.csv"); }) == (folder / "b.csv").string() + ": empty, a CSV file starts with the names of its columns");
}
