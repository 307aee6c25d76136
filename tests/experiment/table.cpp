// Tables over run folders: grouping, mean and deviation, marks, published columns.
#include <fmt/format.h>

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <vector>

#include "core/error.h"
#include "experiment/table.h"
#include "core/files.h"
#include "tests/experiment/fake_runs.h"
#include "tests/support/support.h"

using namespace linden;
using namespace linden::test;
using Catch::Approx;

namespace {

std::vector<const RunRecord*> pointers(const RunCollection& collection) {
  std::vector<const RunRecord*> runs;
  for (const RunRecord& run : collection.runs) runs.push_back(&run);
  return runs;
}

size_t column_index(const Table& table, const std::string& key) {
  for (size_t c = 0; c < table.columns.size(); ++c) {
    if (table.columns[c].key == key) return c;
  }
  FAIL("no column " << key);
  return 0;
}

const TableCell& cell(const Table& table, size_t row, const std::string& key) { return table.rows.at(row).cells.at(column_index(table, key)); }

}  // namespace

TEST_CASE("a transfer that a detector stopped stands in the table by the step at which it was", "[unit]") {
  TemporaryFolder folder;
  const std::string config = R"({"seed": 1, "matching": {"type": "adm"}})";
  const auto write = [&](const std::string& name, const std::string& messages) {
    std::filesystem::create_directories(folder / name);
    write_file_atomically(folder / name / "config.json", config);
    write_file_atomically(folder / name / "command.json", R"({"command": "transfer"})");
    write_file_atomically(folder / name / "messages.csv", "step,level,text\n" + messages);
  };
  write("stopped", "100,warning,\"slow\"\n250,stop,\"the transfer diverges, \"\"badly\"\"\"\n");
  write("went_on", "250,stop,\"the transfer diverges\"\n300,commit,\"layers 1 2\"\n");  // resumed with detectors.stop = false, then interrupted
  const RunCollection collection = collect_runs({folder.path});
  REQUIRE(collection.runs.size() == 1);
  CHECK(collection.runs[0].command() == "transfer");
  CHECK(collection.runs[0].stopped() == "the transfer diverges, \"badly\"");
  CHECK(collection.runs[0].number("stopped_at_step") == 250);
  REQUIRE(collection.broken.size() == 1);
  CHECK(collection.broken[0].name == "went_on");
  const Table table = make_table(pointers(collection), {.rows = {"matching.type"}, .columns = {"stopped_at_step"}});
  CHECK(cell(table, 0, "stopped_at_step").value.mean == 250);
}

TEST_CASE("a published metric that nothing here measures gets its own column beside", "[unit]") {
  TemporaryFolder folder;
  write_run(folder / "a", {.method = "dts"});
  write_run(folder / "b", {.method = "best_of_n"});
  write_file_atomically(folder / "published.json",
                        R"({"source": "A paper", "rows": {"DTS": {"match": {"method.type": "dts"}, "values": {"vbench_mean": 67.6}}}})");
  const RunCollection collection = collect_runs({folder / "a", folder / "b"});
  const References references = read_references(folder / "published.json");
  std::vector<bool> used(references.rows.size(), false);
  const Table table = make_table(pointers(collection), {.rows = {"method.type"}, .columns = {"mean_reward"}}, references, &used);
  REQUIRE(table.published_columns.size() == 1);
  CHECK(table.published_columns[0].label == "VBench, mean of eight (published)");
  for (const TableRow& row : table.rows) {
    const bool dts = row.label() == "DTS";
    CHECK(row.published.at(0).count == (dts ? 1 : 0));
    if (dts) CHECK(row.published[0].mean == 67.6);
  }
  CHECK((used == std::vector<bool>{true}));
}

TEST_CASE("rows are methods, cells are mean and deviation over seeds", "[unit]") {
  TemporaryFolder folder;
  const double dts[] = {-0.4, -0.5, -0.9}, star[] = {-0.010, -0.012, -0.011};
  for (int seed = 0; seed < 3; ++seed) {
    write_run(folder / fmt::format("star{}", seed), {.method = "dts_star", .seed = seed, .mean_reward = star[seed], .judged_share = 0.97});
    write_run(folder / fmt::format("dts{}", seed), {.method = "dts", .seed = seed, .mean_reward = dts[seed], .judged_share = 0.95});
  }
  const RunCollection collection = collect_runs({folder.path});
  const Table table = make_table(pointers(collection), {.task = {"reward"}});
  REQUIRE(table.key_columns == std::vector<std::string>{"method.type"});
  REQUIRE(table.rows.size() == 2);
  CHECK(table.rows[0].label() == "DTS");
  CHECK(table.rows[1].label() == "DTS*");
  const Statistic mean = cell(table, 0, "mean_reward").value;
  CHECK(mean.count == 3);
  CHECK(mean.mean == Approx(-0.6));
  CHECK(mean.deviation == Approx(std::sqrt((0.04 + 0.01 + 0.09) / 2)));
  CHECK(mean.standard_error() == Approx(mean.deviation / std::sqrt(3.0)));
  // Marks: the best, and what lies within 5 % of it.
  CHECK_FALSE(cell(table, 0, "mean_reward").marked);
  CHECK(cell(table, 1, "mean_reward").marked);
  CHECK(cell(table, 0, "judged_share").marked);
  CHECK(cell(table, 1, "judged_share").marked);
  CHECK_FALSE(cell(table, 0, "wall_seconds").marked);  // shown, never ranked
  // A null in summary.json is no number: no column of it.
  for (const MetricInfo& column : table.columns) CHECK(column.key != "root_value");
  REQUIRE(table.notes.size() == 2);
  CHECK(table.notes[0] == "Mean ± standard deviation over 3 runs a row (seed).");
  CHECK(table.notes[1] == "Bold: the best of its column and what lies within 5 % of it.");
}

TEST_CASE("the direction and the tolerance of a mark can be chosen", "[unit]") {
  TemporaryFolder folder;
  write_run(folder / "a", {.method = "dts", .judged_share = 0.80});
  write_run(folder / "b", {.method = "best_of_n", .judged_share = 0.90});
  const RunCollection collection = collect_runs({folder.path});
  Table table = make_table(pointers(collection), {.task = {"reward"}, .lower_is_better = {"judged_share"}});
  CHECK(cell(table, 0, "judged_share").marked);
  CHECK_FALSE(cell(table, 1, "judged_share").marked);
  table = make_table(pointers(collection), {.task = {"reward"}, .tolerance = 0.2});
  CHECK(cell(table, 0, "judged_share").marked);
}

TEST_CASE("budgets and settings that differ make rows of their own", "[unit]") {
  TemporaryFolder folder;
  write_run(folder / "a", {.method = "dts", .nfe = 10000});
  write_run(folder / "b", {.method = "dts", .nfe = 2000});
  write_run(folder / "c", {.method = "dts", .nfe = 2000, .extra_config = R"(, "num_samples": 128)"});
  const RunCollection collection = collect_runs({folder.path});
  SECTION("found by themselves") {
    const Table table = make_table(pointers(collection), {.task = {"reward"}});
    CHECK(table.key_columns == std::vector<std::string>{"method.type", "nfe", "num_samples"});
    REQUIRE(table.rows.size() == 3);
    CHECK(table.rows[0].label() == "DTS, 2,000");  // sorted by number, not by letter
    CHECK(table.rows[1].label() == "DTS, 2,000, 128");
    CHECK(table.rows[2].label() == "DTS, 10,000");
  }
  SECTION("a group that mixes settings is said so") {
    const Table table = make_table(pointers(collection), {.rows = {"method.type"}, .task = {"reward"}});
    REQUIRE(table.rows.size() == 1);
    CHECK(table.notes.front() == "Row \"DTS\" averages over runs that also differ in nfe, num_samples.");
  }
  SECTION("repeats of a seed are said so") {
    const Table table = make_table(pointers(collection), {.rows = {"method.type"}, .over = {"seed"}, .task = {"reward", "nfe", "num_samples"}});
    CHECK(table.notes.front() == "Row \"DTS\" holds 3 runs, but only 1 different values of seed: some runs are repeats.");
  }
}

TEST_CASE("the mean may go over classes instead of seeds", "[unit]") {
  TemporaryFolder folder;
  for (int digit = 0; digit < 4; ++digit) write_run(folder / std::to_string(digit), {.digit = digit, .mean_reward = -0.1 * digit});
  const RunCollection collection = collect_runs({folder.path});
  const Table table = make_table(pointers(collection), {.over = {"reward.digit"}});
  REQUIRE(table.rows.size() == 1);
  CHECK(cell(table, 0, "mean_reward").value.count == 4);
  CHECK(cell(table, 0, "mean_reward").value.mean == Approx(-0.15));
}

TEST_CASE("metrics on different features never share a column", "[unit]") {
  TemporaryFolder folder;
  write_run(folder / "a", {.method = "dts", .extra_summary = R"(, "features": "DigitJudge", "metrics": {"frechet_distance": 0.5})"});
  write_run(folder / "b", {.method = "best_of_n", .extra_summary = R"(, "features": "pixel", "metrics": {"frechet_distance": 30})"});
  const RunCollection collection = collect_runs({folder.path});
  const Table table = make_table(pointers(collection), {.columns = {"frechet_distance", "mean_reward"}, .task = {"reward"}});
  REQUIRE(table.columns.size() == 3);
  CHECK(table.columns[0].label == "Frechet distance, DigitJudge features");
  CHECK(table.columns[1].label == "Frechet distance, pixel features");
  CHECK(table.columns[2].label == "Mean log reward");
  CHECK(cell(table, 0, "frechet_distance [DigitJudge features]").value.mean == 0.5);
  CHECK(cell(table, 1, "frechet_distance [DigitJudge features]").value.count == 0);
  CHECK_FALSE(cell(table, 0, "frechet_distance [DigitJudge features]").marked);  // alone in its column
}

TEST_CASE("every metric of an evaluation that stands on features is shown with them", "[unit]") {
  TemporaryFolder folder;
  const std::vector<std::string> names = {"frechet_distance", "kid", "kid_deviation", "mmd_rbf", "mmd_rbf_five", "cmmd", "precision", "recall", "diversity"};
  std::string numbers;
  for (const std::string& name : names) numbers += (numbers.empty() ? "\"" : ", \"") + name + "\": 0.5";
  std::filesystem::create_directories(folder / "runs/a");
  write_file_atomically(folder / "runs/a/config.json", "{}");
  write_file_atomically(folder / "runs/a/summary.json",
                        R"x({"command": "evaluate", "features": "Inception 2048 (inception.safetensors)", "metrics": {)x" + numbers + "}}");
  write_file_atomically(folder / "paper.json", R"({"source": "A. Author 2025", "rows": {"a": {"values": {"frechet_distance": 0.01}}}})");
  const RunCollection collection = collect_runs({folder / "runs"});
  const Table table = make_table(pointers(collection), {}, read_references(folder / "paper.json"));
  REQUIRE(table.columns.size() == names.size());
  for (const MetricInfo& column : table.columns) CHECK(column.label.ends_with(", Inception 2048 (inception.safetensors) features"));
  REQUIRE(table.published_columns.size() == 1);
  CHECK(table.published_columns[0].label == "Frechet distance (published, on other features)");
}

TEST_CASE("published numbers stand apart with their source", "[unit]") {
  TemporaryFolder folder;
  write_run(folder / "runs/a", {.method = "dts"});
  write_run(folder / "runs/b", {.method = "best_of_n"});
  write_file_atomically(folder / "paper.json", R"({"source": "A. Author 2025, Table 1", "note": "1e6 NFE.", "rows": {
    "DTS v1.0": {"match": {"method.type": "dts"}, "values": {"mean_reward": -0.023}, "deviations": {"mean_reward": 0.006}},
    "SMC": {"match": {"method.type": "smc"}, "values": {"mean_reward": -0.002}}}})");
  const References references = read_references(folder / "paper.json");
  REQUIRE(references.rows.size() == 2);
  CHECK(references.rows[0].name == "DTS v1.0");
  const RunCollection collection = collect_runs({folder / "runs"});
  std::vector<bool> used(2, false);
  const Table table = make_table(pointers(collection), {.task = {"reward"}}, references, &used);
  REQUIRE(table.published_columns.size() == 1);
  CHECK(table.published_columns[0].label == "Mean log reward (published)");
  CHECK(table.rows[0].published[0].mean == -0.023);
  CHECK(table.rows[0].published[0].deviation == 0.006);
  CHECK(table.rows[1].published[0].count == 0);
  CHECK(used == std::vector<bool>{true, false});
  CHECK(table.notes.front() == "Published: A. Author 2025, Table 1. 1e6 NFE. These numbers are not linden's.");
}

TEST_CASE("a file of published numbers is checked", "[unit]") {
  TemporaryFolder folder;
  const auto message = [&](const std::string& text) {
    write_file_atomically(folder / "r.json", text);
    return message_of([&] { read_references(folder / "r.json"); });
  };
  const std::string file = (folder / "r.json").string();
  CHECK(message(R"({"rows": {"a": {"values": {"x": 1}}}})") == file + ": \"source\" is missing: published numbers are shown with where they were published");
  CHECK(message(R"({"source": "s"})") == file + ": \"rows\" is missing or empty: there is no published number in it");
  CHECK(message(R"({"source": "s", "rows": {"a": {"match": {"m": "x"}}}})") == file + ": rows.a has no \"values\"");
  CHECK(message(R"({"source": "s", "rows": {"a": {"values": {"x": "1"}}}})") == file + ": rows.a.values.x is 1, but a published value is a number");
  CHECK(message(R"({"sources": "s"})") == file + ": sources: unknown key; a file of published numbers has \"source\", \"note\" and \"rows\"");
  CHECK(message(R"({"source": "s", "rows": {"a": {"value": {"x": 1}}}})") ==
        file + ": rows.a.value.x: unknown key; a row has \"match\", \"values\" and \"deviations\"");
}
