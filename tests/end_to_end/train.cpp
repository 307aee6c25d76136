#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <csignal>

#include "core/files.h"
#include "tests/support/support.h"

using namespace linden;
using Catch::Matchers::ContainsSubstring;

TEST_CASE("linden train: stopped by SIGINT and resumed equals one run", "[e2e]") {
  test::TemporaryFolder folder;
  const std::string train = "train configs/train/gmm_mlp_small.json --device cpu --set threads=1 --set steps=4000 --set batch_size=64";
  const std::string whole = (folder / "whole").string(), parts = (folder / "parts").string();
  REQUIRE(test::run_linden(train + " --output " + whole).exit_code == 0);
  const test::CommandResult stopped = test::interrupt_linden(train + " --output " + parts, folder / "parts" / "step_100", SIGINT);
  INFO(stopped.output);
  REQUIRE(stopped.exit_code == 130);
  CHECK_THAT(stopped.output, ContainsSubstring("is saved; go on with --resume --output " + parts));
  CHECK_FALSE(std::filesystem::exists(folder / "parts" / "summary.json"));

  const test::CommandResult changed = test::run_linden(train + " --output " + parts + " --resume --set ema_decay=0.5");
  CHECK(changed.exit_code == 2);
  CHECK_THAT(changed.output, ContainsSubstring("ema_decay is 0.99 there and 0.5 now"));

  REQUIRE(test::run_linden(train + " --output " + parts + " --resume").exit_code == 0);
  for (const char* file : {"metrics.csv", "model/model.safetensors", "step_4000/optimizer.safetensors"})
    CHECK(read_text_file(folder / "whole" / file) == read_text_file(folder / "parts" / file));
  CHECK(std::filesystem::exists(folder / "parts" / "summary.json"));
  const test::CommandResult fewer = test::run_linden(train + " --output " + parts + " --resume --set steps=10");
  CHECK(fewer.exit_code == 2);
  CHECK_THAT(fewer.output, ContainsSubstring("steps is 10, but this run has done"));
}

TEST_CASE("linden train refuses bad input with exit code 2", "[e2e]") {
  test::TemporaryFolder folder;
  const std::string output = " --device cpu --output " + (folder / "a").string();
  const auto refused = [&](const std::string& arguments) {
    const test::CommandResult result = test::run_linden("train " + arguments + output);
    CHECK(result.exit_code == 2);
    return result.output;
  };
  CHECK_THAT(refused("configs/train/gmm_mlp_small.json --set batch_sise=3"), ContainsSubstring("did you mean \"batch_size\"?"));
  CHECK_THAT(refused("configs/train/digits_guide_small.json --set batch_size=5000"), ContainsSubstring("holds 1000 examples (allowed 1..1000)"));
  CHECK_THAT(refused("configs/train/gmm_mlp_small.json --set 'model={\"type\":\"unet2d\"}'"), ContainsSubstring("data.type gaussian_mixture has [2]"));
  CHECK_THAT(refused("configs/train/gmm_mlp_small.json --set model.start_from=nowhere"), ContainsSubstring("nowhere: no such model folder"));
  CHECK_FALSE(std::filesystem::exists(folder / "a"));
}

TEST_CASE("linden train --dry-run prints the settings and the costs and makes nothing", "[e2e]") {
  test::TemporaryFolder folder;
  const test::CommandResult result = test::run_linden("train configs/train/digits_prior.json --dry-run --output " + (folder / "a").string());
  CHECK(result.exit_code == 0);
  CHECK_THAT(result.output, ContainsSubstring("1112801"));
  CHECK_THAT(result.output, ContainsSubstring("up_blocks"));
  CHECK_FALSE(std::filesystem::exists(folder / "a"));
}
