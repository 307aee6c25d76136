// Sentences made from numbers.
#include <catch2/catch_test_macros.hpp>
#include <vector>

#include "experiment/findings.h"
#include "core/files.h"
#include "tests/experiment/fake_runs.h"
#include "tests/support/support.h"

using namespace linden;
using namespace linden::test;

namespace {

Findings told(const TemporaryFolder& folder, const std::vector<std::string>& metrics) {
  const RunCollection collection = collect_runs({folder.path});
  std::vector<const RunRecord*> runs;
  for (const RunRecord& run : collection.runs) runs.push_back(&run);
  return findings(make_table(runs, {.task = {"reward"}}), metrics, 0.05);
}

constexpr const char* kOneSeed =
    "Every row is a single run with one seed: differences of this size can come from the seed alone, and another seed may order the rows "
    "differently. A tie is a difference within 5 % of the best (0.005 for log rewards).";

}  // namespace

TEST_CASE("who leads, by how much, and what it costs", "[unit]") {
  TemporaryFolder folder;
  write_run(folder / "a", {.method = "dts", .mean_reward = -0.31, .judged_share = 0.90, .diversity = 0.44});
  write_run(folder / "b", {.method = "dts_star", .mean_reward = -0.01, .judged_share = 0.98, .diversity = 0.33});
  write_run(folder / "c", {.method = "best_of_n", .mean_reward = -0.11, .judged_share = 0.97, .diversity = 0.40});
  const Findings found = told(folder, {"mean_reward", "judged_share", "diversity"});
  CHECK(found.text ==
        "DTS* has the highest mean log reward, -0.0100: 0.100 above best-of-N (-0.110) and 0.300 above DTS (-0.310). "
        "DTS* (98.0 %) and best-of-N (97.0 %) tie for the highest share that the judge reads as asked; the best of them is 8.0 percentage "
        "points above DTS (90.0 %). "
        "DTS has the highest diversity, 0.440: 0.0400 above best-of-N (0.400) and 0.110 above DTS* (0.330). "
        "The highest reward comes with the least variety here: DTS* leads in the one and is last in the other.");
  CHECK(found.caveat == kOneSeed);
}

TEST_CASE("a tie is called a tie", "[unit]") {
  TemporaryFolder folder;
  write_run(folder / "a", {.method = "dts", .mean_reward = -0.0001});
  write_run(folder / "b", {.method = "best_of_n", .mean_reward = -0.004});  // a negligible difference of log rewards
  const Findings found = told(folder, {"mean_reward"});
  CHECK(found.text == "In mean log reward there is a tie: DTS (-0.000100) and best-of-N (-0.00400).");
  CHECK(found.caveat == kOneSeed);
}

TEST_CASE("with several seeds the spread decides", "[unit]") {
  // Means -0.3 and -0.2: far beyond 5 %.
  const Statistic a{-0.3, 0.2, 4}, b{-0.2, 0.2, 4}, sharp_a{-0.3, 0.01, 4}, sharp_b{-0.2, 0.01, 4}, lone{-0.3, 0, 1};
  CHECK(is_tie(b, a, 0.05));
  CHECK_FALSE(is_tie(sharp_b, sharp_a, 0.05));
  CHECK_FALSE(is_tie(b, lone, 0.05));  // one run has no spread to hide behind
  CHECK(is_tie(sharp_b, sharp_a, 0.5));
}

TEST_CASE("budgets: the largest is described, unequal ones are named", "[unit]") {
  TemporaryFolder folder;
  SECTION("a gain over the smallest") {
    write_run(folder / "a", {.method = "dts", .nfe = 500, .mean_reward = -1.5});
    write_run(folder / "b", {.method = "dts", .nfe = 2000, .mean_reward = -0.5});
    write_run(folder / "c", {.method = "best_of_n", .nfe = 2000, .mean_reward = -0.25});
    CHECK(told(folder, {"mean_reward"}).text ==
          "What follows is at the largest budget, 2,000 NFE. Best-of-N has the highest mean log reward, -0.250: 0.250 above DTS (-0.500). "
          "From 500 to 2,000 NFE the mean log reward goes: DTS from -1.50 to -0.500.");
  }
  SECTION("a run that spent more than the others") {
    write_run(folder / "a", {.method = "dts", .nfe = 1000, .extra_summary = R"(, "stopped_by": "budget")"});
    write_run(folder / "b", {.method = "best_of_n", .nfe = 1000, .mean_reward = -0.25});
    // The real count is the summary's: the last of two equal keys.
    write_file_atomically(folder / "a/summary.json", R"({"command": "align", "nfe": 1500, "mean_reward": -0.5})");
    CHECK(told(folder, {"mean_reward"})
              .caveat.starts_with("The rows did not spend the same: 1,000 NFE (best-of-N) to 1,500 NFE (DTS), so they are not compared on equal terms."));
  }
  SECTION("one row has nothing to be compared with") {
    write_run(folder / "a", {.method = "dts"});
    CHECK(told(folder, {"mean_reward"}).text.empty());
    CHECK(told(folder, {"mean_reward"}).caveat.empty());
  }
}
