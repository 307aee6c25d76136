// `linden align` as a user runs it: outputs, resume, the written config fed back, bad input.
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <filesystem>
#include <fstream>
#include <map>

#include "core/config.h"
#include "tests/support/support.h"

using namespace linden;
using Catch::Matchers::ContainsSubstring;

namespace {

std::map<std::string, std::string> summary_of(const std::filesystem::path& run) {
  std::map<std::string, std::string> values;
  for (const JsonScalar& scalar : flatten_json(run / "summary.json")) values[scalar.path] = scalar.text;
  return values;
}

// The numbers that a search decides, without its timings and its folder.
std::map<std::string, std::string> decided(std::map<std::string, std::string> values) {
  for (const char* key : {"run", "wall_seconds", "search_seconds", "nfe_per_second", "bookkeeping_share"}) values.erase(key);
  return values;
}

test::CommandResult align(const std::string& arguments) { return test::run_linden("align configs/align/gmm_dts.json --set num_samples=64 " + arguments); }

}  // namespace

TEST_CASE("linden align leaves everything it promises and refuses to write over it", "[e2e]") {
  const test::TemporaryFolder folder;
  const std::string output = " --output " + (folder / "run").string();
  const auto result = align("--set nfe=3000" + output);
  INFO(result.output);
  REQUIRE(result.exit_code == 0);
  for (const char* name : {"config.json", "command.json", "environment.json", "log.txt", "log.jsonl", "metrics.csv", "curve.csv", "curve.svg", "tree.h5",
                           "tree.svg", "samples.h5", "samples.svg", "summary.json"})
    CHECK(std::filesystem::exists(folder / "run" / name));
  const auto summary = summary_of(folder / "run");
  for (const char* key :
       {"method", "nfe", "network_calls", "reward_calls", "root_value", "mean_reward", "best_reward", "num_leaves", "num_distinct", "wall_seconds"})
    CHECK(summary.count(key) == 1);
  CHECK(summary.at("method") == "dts");
  const auto again = align("--set nfe=3000" + output);
  CHECK(again.exit_code == 2);
  CHECK_THAT(again.output, ContainsSubstring("run"));
}

TEST_CASE("linden align to 3000 NFE, then resumed to 6000, is one run to 6000", "[e2e]") {
  const test::TemporaryFolder folder;
  for (const char* method : {"dts", "dts_unbiased", "dts_star", "best_of_n"}) {
    const std::string with = std::string("--set method.type=") + method + " --set num_samples=20 --output ";
    const std::string whole = (folder / (std::string(method) + "_whole")).string(), parts = (folder / (std::string(method) + "_parts")).string();
    REQUIRE(align("--set nfe=6000 " + with + whole).exit_code == 0);
    REQUIRE(align("--set nfe=3000 " + with + parts).exit_code == 0);
    const auto resumed = align("--set nfe=6000 --resume " + with + parts);
    INFO(resumed.output);
    REQUIRE(resumed.exit_code == 0);
    CHECK(decided(summary_of(whole)) == decided(summary_of(parts)));
  }
}

TEST_CASE("the config that a run writes gives the same run", "[e2e]") {
  const test::TemporaryFolder folder;
  REQUIRE(align("--set nfe=3000 --seed 4 --output " + (folder / "first").string()).exit_code == 0);
  REQUIRE(test::run_linden("align " + (folder / "first/config.json").string() + " --output " + (folder / "second").string()).exit_code == 0);
  CHECK(decided(summary_of(folder / "first")) == decided(summary_of(folder / "second")));
}

TEST_CASE("linden align refuses bad input with exit code 2 and leaves no folder behind", "[e2e]") {
  const test::TemporaryFolder folder;
  const std::string output = " --output " + (folder / "run").string();
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"--set nfee=3", "nfee is not a key of this config; did you mean \"nfe\"?"},
      {"--set method.widening.constant=-1", "method.widening.constant is -1"},
      {"--set method.lamda=2", "did you mean \"lambda\"?"},
      {"--set nfe=many", "nfe is \"many\", wanted an integer"},
      {"--set nfe=99", "nfe is 99, below one trajectory of 100 steps"},
      {"--set method.branch_at=[100,55,60]", "must fall: 60 comes after 55"},
      {"--set method.branch_at=[101]", "off the sampler's grid of 100 steps"},
      {"--set method.type=best_of_n --set nfe=1000", "only 10 trajectories"},
      {"--set reward.type=classifier", "names no class"},
      {"--set reward.type=classifier --set reward.digit=3", "reward classifier reads images, but a prior of type gaussian_mixture makes 2-D points"},
      {"--set judge.folder=nowhere", "nowhere: no such model folder"},
      {"--set method.branch_at=[100,100]", "must fall: 100 comes after 100"},
      {"--set method.type=DTS", "did you mean \"dts\"?"},
      {"--set nef=1", "did you mean \"nfe\"?"},
      {"--set prior.type=unet2d --set prior.folder=nowhere", "nowhere: no such model folder"},
      {"--device cuda:77", "cuda:77"},
  };
  for (const auto& [arguments, message] : cases) {
    const auto result = align(arguments + output);
    INFO(arguments << "\n" << result.output);
    CHECK(result.exit_code == 2);
    CHECK_THAT(result.output, ContainsSubstring(message));
    CHECK_FALSE(std::filesystem::exists(folder / "run"));
  }
}

TEST_CASE("linden align --resume names a key that may not change", "[e2e]") {
  const test::TemporaryFolder folder;
  const std::string output = " --output " + (folder / "run").string();
  REQUIRE(align("--set nfe=2000" + output).exit_code == 0);
  const auto result = align("--set nfe=2000 --set method.lambda=2 --resume" + output);
  CHECK(result.exit_code == 2);
  CHECK_THAT(result.output, ContainsSubstring("method.lambda"));
}

TEST_CASE("the shipped digit prior, guide and judge work together", "[e2e]") {
  const test::TemporaryFolder folder;
  const auto result = test::run_linden(
      "align configs/align/digits_dts.json --device cpu --set nfe=100 --set num_samples=4 --set method.batch_size=2 --output " + (folder / "run").string());
  INFO(result.output);
  REQUIRE(result.exit_code == 0);
  const auto summary = summary_of(folder / "run");
  CHECK(summary.at("features") == "DigitJudge");
  CHECK(summary.at("num_samples") == "4");
  CHECK(std::filesystem::exists(folder / "run/samples.png"));
}
