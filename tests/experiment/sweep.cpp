// Sweeps without running anything: from the file to cells, the state on the disk, the estimate of time.
#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cmath>
#include <fstream>
#include <limits>

#include "align/config.h"
#include "core/files.h"
#include "experiment/process_pool.h"
#include "experiment/sweep_folder.h"
#include "experiment/sweep_plan.h"
#include "experiment/sweep_status.h"
#include "tests/support/support.h"

using namespace linden;
using namespace linden::test;
using Catch::Matchers::ContainsSubstring;

namespace {

SweepTarget align_target() {
  return {"align", [] { return std::make_unique<OwnedConfig<AlignConfig>>(); }, true};
}

// A sweep whose base config is base.json beside it.
struct SweepFixture {
  TemporaryFolder folder;

  SweepFixture() { write_file_atomically(folder / "base.json", R"({"method": {"type": "dts", "batch_size": 4}, "threads": 1})"); }

  // `rest`: what follows command and config.
  SweepConfig read(const std::string& rest, const std::string& base = R"("config": "base.json", )") const {
    write_file_atomically(folder / "sweep.json", R"({"command": "align", )" + base + rest + "}");
    return read_sweep_config(folder / "sweep.json");
  }
  SweepCells expand(const SweepConfig& config) const {
    const SweepFolder none(folder / "none");
    return expand_cells(config, align_target(), none.base_configs(config, align_target(), {}));
  }
  SweepCells expand(const std::string& rest) const { return expand(read(rest)); }
  std::vector<std::string> names(const std::string& rest) const {
    std::vector<std::string> out;
    for (const SweepCell& cell : expand(rest).cells) out.push_back(cell.name);
    return out;
  }
  std::string error(const std::string& rest) const {
    return message_of([&] { expand(rest); });
  }
};

std::string value(const SweepCell& cell, const std::string& key) {
  const ConfigLeaf* leaf = find_leaf(cell.leaves, key);
  return leaf ? leaf->text : "(absent)";
}

using Names = std::vector<std::string>;

// A folder as a run leaves it.
void write_cell(const SweepFolder& folder, const SweepCell& cell, bool finished) {
  const std::filesystem::path run = folder.run_of(cell.name);
  std::filesystem::create_directories(run);
  write_file_atomically(run / "config.json", config_to_json(*cell.config));
  write_file_atomically(run / "command.json", "{}");
  if (finished) write_file_atomically(run / "summary.json", R"({"command": "align", "wall_seconds": 2})");
}

}  // namespace

TEST_CASE("axes make a grid, the first slowest, with names from the values", "[unit]") {
  const SweepFixture fixture;
  CHECK(fixture.names(R"("axes": {"nfe": [500, 1e3], "seed": [1, 2]})") == Names{"nfe=500,seed=1", "nfe=500,seed=2", "nfe=1000,seed=1", "nfe=1000,seed=2"});
  const SweepCells cells = fixture.expand(R"("axes": {"nfe": [500, 1000], "seed": [1, 2]}, "set": {"num_samples": 7})");
  CHECK(value(cells.cells[2], "nfe") == "1000");
  CHECK(value(cells.cells[2], "seed") == "1");
  CHECK(value(cells.cells[2], "num_samples") == "7");
  CHECK(value(cells.cells[2], "method.batch_size") == "4");  // of the base config
  CHECK(cells.cells[2].nfe() == 1000);
  CHECK(cells.warnings.empty());
}

TEST_CASE("values may be lists, truth values, objects and labelled", "[unit]") {
  const SweepFixture fixture;
  CHECK(fixture.names(R"("axes": {"method.branch_at": [[100, 50], [100]], "save_latents": [true, false]})") ==
        Names{"branch_at=100-50,save_latents=true", "branch_at=100-50,save_latents=false", "branch_at=100,save_latents=true",
              "branch_at=100,save_latents=false"});
  CHECK(fixture.names(R"("axes": {"method": [{"type": "dts"}, {"type": "dts_star", "c_uct": 0.3}, {"label": "plain", "value": {"type": "best_of_n"}}]})") ==
        Names{"method=dts", "method=dts_star+c_uct-0.3", "method=plain"});
  CHECK(fixture.names(R"("axes": {"reward.folder": ["a/b c", ""]})") == Names{"folder=a_b_c", "folder=empty"});
}

TEST_CASE("keys of one last word keep their whole path in names", "[unit]") {
  const SweepFixture fixture;
  CHECK(fixture.names(R"("axes": {"reward.folder": ["a"], "judge.folder": ["b"], "reward.type": ["classifier"]})") ==
        Names{"reward.folder=a,judge.folder=b,reward=classifier"});
}

TEST_CASE("zipped lists move together and are one axis of the grid", "[unit]") {
  const SweepFixture fixture;
  CHECK(fixture.names(R"("axes": {"seed": [1, 2]}, "zipped": [{"nfe": [500, 1000], "num_samples": [5, 10]}])") ==
        Names{"seed=1,nfe=500,num_samples=5", "seed=1,nfe=1000,num_samples=10", "seed=2,nfe=500,num_samples=5", "seed=2,nfe=1000,num_samples=10"});
}

TEST_CASE("conditions give axes to the cells that match, and skip leaves cells out", "[unit]") {
  const SweepFixture fixture;
  const std::string methods = R"("axes": {"method.type": ["dts", "best_of_n"], "seed": [1, 2]})";
  CHECK(fixture.names(methods + R"(, "conditional": [{"when": {"method.type": "dts"}, "axes": {"method.lambda": [1, 2]}}])") ==
        Names{"method=dts,seed=1,lambda=1", "method=dts,seed=1,lambda=2", "method=dts,seed=2,lambda=1", "method=dts,seed=2,lambda=2", "method=best_of_n,seed=1",
              "method=best_of_n,seed=2"});
  CHECK(fixture.names(methods + R"(, "skip": [{"method.type": ["dts", "dts_star"], "seed": 1.0}])") ==
        Names{"method=dts,seed=2", "method=best_of_n,seed=1", "method=best_of_n,seed=2"});
  const SweepCells fixed = fixture.expand(methods + R"(, "conditional": [{"when": {"method.type": "best_of_n"}, "set": {"nfe": 700}}])");
  CHECK(value(fixed.cells.front(), "nfe") == "10000");
  CHECK(value(fixed.cells.back(), "nfe") == "700");
  const SweepCells unmatched = fixture.expand(methods + R"(, "skip": [{"seed": 9}])");
  REQUIRE(unmatched.warnings.size() == 1);
  CHECK_THAT(unmatched.warnings.front(), ContainsSubstring("skip[0] matches no cell"));
}

TEST_CASE("a fixed key inside a variant holds for every type of it", "[unit]") {
  const SweepFixture fixture;
  const SweepCells cells = fixture.expand(R"("axes": {"method": [{"type": "dts"}, {"type": "best_of_n"}]}, "set": {"method.batch_size": 16})");
  for (const SweepCell& cell : cells.cells) CHECK(value(cell, "method.batch_size") == "16");
}

TEST_CASE("base configs may be an axis", "[unit]") {
  const SweepFixture fixture;
  write_file_atomically(fixture.folder / "other.json", R"({"base": "base.json", "nfe": 77})");
  for (const char* text :
       {R"("config": ["base.json", "other.json"], "axes": {"seed": [1]})", R"("axes": {"config": ["base.json", "other.json"], "seed": [1]})"}) {
    const SweepCells cells = fixture.expand(fixture.read(text, ""));
    REQUIRE(cells.cells.size() == 2);
    CHECK(cells.cells[0].name == "config=base,seed=1");
    CHECK(cells.cells[1].name == "config=other,seed=1");
    CHECK(value(cells.cells[1], "nfe") == "77");
    CHECK(value(cells.cells[1], "method.batch_size") == "4");
  }
}

TEST_CASE("the hash is of what runs, not of where", "[unit]") {
  const SweepFixture fixture;
  const auto hash = [&](const std::string& rest) { return fixture.expand(R"("axes": {"seed": [1]})" + rest).cells[0].hash; };
  CHECK(hash("") == hash(R"(, "set": {"device": "cuda:1", "threads": 8})"));
  CHECK(hash("") != hash(R"(, "set": {"nfe": 7})"));
  CHECK(hash("").size() == 16);
  CHECK(fixture.names(R"("axes": {"threads": [1, 2]})").size() == 2);  // an axis is never where only
}

TEST_CASE("what is wrong with a sweep's file is found and named", "[unit]") {
  const SweepFixture fixture;
  const std::vector<std::pair<std::string, std::string>> cases = {
      {R"("axes": {"nef": [500]})", "sweep.json: cell nef=500: nef is not a key of this config; did you mean \"nfe\"?"},
      {R"("axes": {"nfe": []})", "axes.nfe has no values"},
      {R"("axes": {"nfe": 500})", "axes.nfe is 500, wanted a list of values"},
      {R"("axes": {"nfe": [0, 100]})", "cell nfe=0: nfe is 0 (allowed: at least 1)"},
      {R"("axes": {"nfe": [1, 1]})", "axes.nfe: the value 1 stands twice"},
      {R"("axes": {"nfe": [null]})", "axes.nfe: a value is null"},
      {R"("axes": {"reward.folder": ["a b", "a:b"]})", "two cells would both be called folder=a_b: reward.folder is \"a b\" in one and \"a:b\" in the other"},
      {R"("zipped": [{"nfe": [500, 1000, 2000], "seed": [1, 2]}])", "zipped[0]: nfe has 3 values and seed has 2"},
      {R"("axes": {"nfe": [500]}, "set": {"nfe": 1000})", "nfe is given twice: by axes.nfe and by set.nfe"},
      {R"("axes": {"nfe": [500]}, "zipped": [{"nfe": [1]}])", "nfe is given twice: by axes.nfe and by zipped[0]"},
      {R"("axes": {"nfe": [500]}, "axes": {})", "the key \"axes\" stands twice in one object"},
      {R"("axes": {"method": [{"type": "dts", "lambda": 2}]}, "set": {"method.lambda": 1})",
       "method.lambda is given twice: by axes.method and by set.method.lambda"},
      {R"("axes": {"config": ["base.json"]})", "config is given twice: as \"config\" and by axes.config"},
      {R"("axes": {"output": ["a"]})", "axes.output: the sweep gives each cell its folder"},
      {R"("axes": {"seed": [1]}, "conditional": [{"when": {"method.typ": "dts"}, "axes": {"nfe": [1]}}])",
       "no cell has the key method.typ; did you mean \"method.type\"?"},
      {R"("axes": {"seed": [1]}, "conditional": [{"when": {"seed": 1}, "axes": {"seed": [1]}}])",
       "seed is given twice: by axes.seed and by conditional[0].axes.seed"},
      {R"("axes": {"seed": [1]}, "conditional": [{"when": {"seed": 1}}])", "conditional[0] gives nothing"},
      {R"("axes": {"seed": [1]}, "skip": [{"method": "dts"}])", "skip[0]: method is an object; compare a key inside it, for example method.type"},
      {R"("axes": {"seed": [1]}, "skip": [{"seed": 1}])", "skip leaves no cell"},
      {R"("axis": {"seed": [1]})", "axis is not a key of a sweep; did you mean \"axes\"?"},
      {R"("axes": {})", "nothing varies"},
      {R"("axes": {"seed": [1]}, "processes": 0)", "processes is 0 (allowed: 1..1024)"},
      {R"("axes": {"seed": [1]}, "on_failure": "halt")", "on_failure is \"halt\", allowed: continue, stop"},
      {R"("axes": {"method": [{"type": "dts"}, {"type": "dts", "lambda": 1}]})", "cells method=dts and method=dts+lambda-1 have one and the same config"},
  };
  for (const auto& [rest, message] : cases) {
    INFO(rest);
    CHECK_THAT(fixture.error(rest), ContainsSubstring(message));
  }
  CHECK_THAT(message_of([&] { fixture.expand(fixture.read(R"("axes": {"seed": [1]})", R"("config": "nowhere.json", )")); }),
             ContainsSubstring("config is \"nowhere.json\", but there is neither"));
  CHECK_THAT(message_of([&] { fixture.read(R"("axes": {"seed": [1]})", ""); }), ContainsSubstring("config is missing"));
  write_file_atomically(fixture.folder / "sweep.json", "[1]");
  CHECK_THAT(message_of([&] { read_sweep_config(fixture.folder / "sweep.json"); }), ContainsSubstring("a sweep is a JSON object, got array"));
}

TEST_CASE("assignments of the command line replace fixed ones, and never an axis", "[unit]") {
  const SweepFixture fixture;
  SweepConfig config = fixture.read(R"("axes": {"seed": [1]}, "set": {"nfe": 5})");
  add_assignments(config, {"nfe=9", "device=cpu"});
  const SweepCell cell = fixture.expand(config).cells.front();
  CHECK(value(cell, "nfe") == "9");
  CHECK(value(cell, "device") == "\"cpu\"");
  CHECK_THAT(message_of([&] { add_assignments(config, {"seed=3"}); }), ContainsSubstring("--set seed=3: seed is an axis of"));
  SweepConfig methods = fixture.read(R"("axes": {"method": [{"type": "dts"}]})");
  CHECK_THAT(message_of([&] { add_assignments(methods, {"method.type=best_of_n"}); }),
             ContainsSubstring("--set method.type=best_of_n: method.type is an axis of"));
}

TEST_CASE("what is done is what the folder says", "[unit]") {
  const SweepFixture fixture;
  const SweepConfig config = fixture.read(R"("axes": {"seed": [1, 2, 3, 4, 5]})");
  const SweepFolder folder(fixture.folder / "out");
  const SweepCells cells = fixture.expand(config);
  folder.freeze(cells.cells, config, align_target(), {});
  const auto state = [&](size_t i) { return folder.state_of(cells.cells[i].name, cells.cells[i].hash, align_target(), where_keys(config)); };

  write_cell(folder, cells.cells[0], true);
  write_cell(folder, cells.cells[1], false);
  write_cell(folder, cells.cells[2], false);
  std::ofstream(folder.run_of(cells.cells[2].name) / "tree.h5") << "something to resume from";
  write_cell(folder, cells.cells[3], true);
  SweepCell other = cells.cells[4];
  std::filesystem::copy_file(folder.run_of(other.name = cells.cells[0].name) / "config.json", folder.run_of(cells.cells[3].name) / "config.json",
                             std::filesystem::copy_options::overwrite_existing);
  CHECK(state(0) == CellState::kDone);
  CHECK(state(1) == CellState::kUnusable);  // begun, and nothing saved
  CHECK(state(2) == CellState::kBegun);
  CHECK(state(3) == CellState::kUnusable);  // finished, but of another config
  CHECK(state(4) == CellState::kNew);
  SweepTarget once = align_target();
  once.can_resume = false;
  CHECK(folder.state_of(cells.cells[2].name, cells.cells[2].hash, once, where_keys(config)) == CellState::kUnusable);

  const SweepPlan plan = plan_sweep(config, align_target(), {folder.path(), true, ""}, folder);
  CHECK(plan.to_run == std::vector<size_t>{1, 2, 3, 4});
  CHECK(plan.end_unknown[0]);
  CHECK(plan_sweep(config, align_target(), {folder.path(), true, "seed=[12]"}, folder).to_run == std::vector<size_t>{0, 1});
  CHECK_THAT(message_of([&] { plan_sweep(config, align_target(), {folder.path(), true, "sed=1"}, folder); }), ContainsSubstring("did you mean 'seed=1'?"));

  for (int i = 0; i < 5; ++i) {
    std::filesystem::create_directories(folder.run_of("seed=2"));
    folder.move_aside("seed=2");
  }
  CHECK(state(1) == CellState::kNew);
  CHECK_FALSE(std::filesystem::exists(folder.path() / "attempts/seed=2#2"));  // the last three are kept
  for (const char* kept : {"#3", "#4", "#5"}) CHECK(std::filesystem::exists(folder.path() / "attempts" / (std::string("seed=2") + kept)));
}

TEST_CASE("a frozen cell keeps its config, and its base", "[unit]") {
  const SweepFixture fixture;
  const SweepFolder folder(fixture.folder / "out");
  const auto plan = [&](const std::string& rest) { return plan_sweep(fixture.read(rest), align_target(), {folder.path(), true, ""}, folder); };
  const auto freeze = [&](const std::string& rest) {
    const SweepConfig config = fixture.read(rest);
    const SweepPlan planned = plan(rest);
    return folder.freeze(planned.cells, config, align_target(), planned.frozen);
  };
  freeze(R"("axes": {"seed": [1, 2]}, "set": {"nfe": 300})");
  write_file_atomically(fixture.folder / "base.json", R"({"method": {"type": "dts", "batch_size": 9}})");
  const SweepPlan grown = plan(R"("axes": {"seed": [2, 3]}, "set": {"nfe": 300})");
  REQUIRE(grown.cells.size() == 2);
  CHECK(value(grown.cells[1], "method.batch_size") == "4");  // new cells compare with the old ones
  CHECK(grown.progress[2].name == "seed=1");
  CHECK(grown.progress[2].stage == CellStage::kNotInGrid);
  CHECK_FALSE(freeze(R"("axes": {"seed": [2, 3]}, "set": {"nfe": 300})").find("seed=1")->in_grid);
  CHECK_THAT(message_of([&] { plan(R"("axes": {"seed": [2, 3]}, "set": {"nfe": 301})"); }),
             ContainsSubstring("nfe is 300 there and 301 now for the cell seed=2, which is frozen in"));
  CHECK_THAT(message_of([&] {
               const SweepConfig config = fixture.read(R"("axes": {"seed": [2]}, "set": {"nfe": 300})");
               plan_sweep(config, {"sample", align_target().config, true}, {folder.path(), true, ""}, folder);
             }),
             ContainsSubstring("holds a sweep of `linden align`, not of `linden sample`"));
}

TEST_CASE("a folder is used for one sweep at a time, and for nothing else", "[unit]") {
  const TemporaryFolder folder;
  const SweepFolder sweep(folder / "sweep");
  sweep.require_usable(false);
  CHECK_THAT(message_of([&] { sweep.require_usable(true); }), ContainsSubstring("--resume, but this folder holds no sweep"));
  const SweepLock lock(sweep.path());
  sweep.require_usable(false);  // killed before anything was frozen
  CHECK_THAT(message_of([&] { SweepLock second(sweep.path()); }), ContainsSubstring("another sweep (process "));
  write_file_atomically(sweep.path() / "cells.json", "{}");
  CHECK_THAT(message_of([&] { sweep.require_usable(false); }), ContainsSubstring("holds a sweep already; pass --resume"));
  CHECK_THAT(message_of([&] { sweep.manifest(); }), ContainsSubstring("not the manifest of a sweep"));
  write_file_atomically(folder / "notes.txt", "");
  CHECK_THAT(message_of([&] { SweepFolder(folder.path).require_usable(false); }), ContainsSubstring("holds something that is no sweep"));
}

TEST_CASE("a sweep is spread over the GPUs that its process may use", "[unit]") {
  using Names = std::vector<std::string>;
  CHECK((gpu_names(nullptr, 2) == Names{"0", "1"}));
  CHECK((gpu_names("3,GPU-1f,0", 2) == Names{"3", "GPU-1f"}));
  CHECK(gpu_names("", 0).empty());
  CHECK_THAT(message_of([] { gpu_names("5", 2); }), ContainsSubstring("over 2 GPUs, but CUDA_VISIBLE_DEVICES is \"5\""));
  const SweepFixture fixture;
  CHECK(fixture.read(R"("axes": {"seed": [1]}, "gpus": 2)").gpus == 2);
  CHECK_THAT(fixture.error(R"("axes": {"seed": [1]}, "gpus": -1)"), ContainsSubstring("gpus is -1 (allowed: 0..1024)"));
}

TEST_CASE("the journal survives a line that was cut off", "[unit]") {
  const TemporaryFolder folder;
  const Journal journal(folder / "journal.jsonl");
  JournalEvent event;
  event.event = "start";
  event.cell = "seed=1";
  event.attempt = 1;
  journal.append(event);
  std::ofstream(folder / "journal.jsonl", std::ios::app) << "{\"event\": \"en";
  event.event = "end";
  event.detail = "killed by signal 9 (\"Killed\")";
  journal.append(event);
  const std::vector<JournalEvent> events = journal.read();
  REQUIRE(events.size() == 2);
  CHECK(events[0].event == "start");
  CHECK(events[1].detail == event.detail);
}

TEST_CASE("the estimate goes by NFE, and by what runs at once", "[unit]") {
  const auto cell = [](double nfe, CellStage stage, double seconds = 0) {
    CellProgress progress;
    progress.nfe = nfe;
    progress.stage = stage;
    progress.seconds = seconds;
    return progress;
  };
  std::vector<CellProgress> cells = {cell(100, CellStage::kDone, 10), cell(200, CellStage::kLeft), cell(400, CellStage::kLeft),
                                     cell(300, CellStage::kRunning, 5)};
  CHECK(estimate_seconds(cells, 1) == Catch::Approx(25 + 20 + 40));
  CHECK(estimate_seconds(cells, 2) == Catch::Approx(20 + 40));  // 25 | 20 + 40
  std::vector<CellProgress> two = {cell(100, CellStage::kDone, 3), cell(300, CellStage::kDone, 5), cell(1000, CellStage::kLeft)};
  CHECK(estimate_seconds(two, 1) == Catch::Approx(2 + 10));  // 2 s to start and 0.01 s an NFE
  for (CellProgress& each : cells) each.nfe = std::numeric_limits<double>::quiet_NaN();
  CHECK(estimate_seconds(cells, 1) == Catch::Approx(5 + 10 + 10));
  cells[0].stage = CellStage::kNotInGrid;
  CHECK(std::isnan(estimate_seconds(cells, 1)));
}

TEST_CASE("status line and table", "[unit]") {
  CellProgress done, failed;
  done.name = "nfe=500";
  done.values = {{"nfe", "500"}};
  done.stage = CellStage::kDone;
  done.seconds = 3;
  done.attempts = 1;
  failed.name = "nfe=600";
  failed.values = {{"nfe", "600"}};
  failed.stage = CellStage::kFailed;
  failed.detail = "exit code 1";
  failed.attempts = 2;
  const SweepStatus status = sweep_status({done, failed}, 1, 41);
  CHECK(status_line(status) == "sweep  1/2 cells done, 1 failed  0:41");
  CHECK(sweep_table("Sweep x", status, {done, failed}) ==
        "# Sweep x\n\n2 cells: 1 done, 1 failed, 0 left.\n\n| nfe | state | seconds | starts |\n| --- | --- | --- | --- |\n"
        "| 500 | done | 3.0 | 1 |\n| 600 | failed: exit code 1 |  | 2 |\n");
}
