// `linden evaluate` as a user runs it: PNG folders on Inception features, statistics there and back, a report, bad input.
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "core/config.h"
#include "tests/support/support.h"

using namespace linden;
using Catch::Matchers::ContainsSubstring;

namespace {

constexpr const char* kGolden = "tests/golden/evaluate/fid";
// The weights of the golden files.
const std::string kInception = R"( --set 'features={"type": "inception", "file": "formula:7", "dims": 64}')";

test::CommandResult evaluate(const std::string& arguments) { return test::run_linden("evaluate configs/evaluate/digits.json " + arguments); }

std::string text_of(const std::filesystem::path& file) {
  std::ifstream in(file);
  return {std::istreambuf_iterator<char>(in), {}};
}

double number_of(const std::filesystem::path& file, const std::string& path) {
  for (const JsonScalar& scalar : flatten_json(file)) {
    if (scalar.path == path) return scalar.number;
  }
  FAIL(file << " has no " << path);
  return 0;
}

}  // namespace

TEST_CASE("linden evaluate on Inception features, its statistics read back, and the report", "[e2e]") {
  const test::TemporaryFolder folder;
  const std::string runs = (folder / "runs").string(), statistics = (folder / "b.npz").string();
  const std::string common = kInception + " --set classifier=" + " --set samples.limit=0 --set reference.path= --set samples.path=" + kGolden;
  const auto saved = evaluate(common + "/b --set save_statistics=" + statistics + " --output " + runs + "/b");
  INFO(saved.output);
  REQUIRE(saved.exit_code == 0);
  const auto against_files = evaluate(common + "/a --set reference.path=" + kGolden + "/b --set 'metrics=[\"frechet_distance\"]' --output " + runs + "/files");
  INFO(against_files.output);
  REQUIRE(against_files.exit_code == 0);
  const auto against_statistics =
      evaluate(common + "/a --set reference.path=" + statistics + " --set 'metrics=[\"frechet_distance\"]' --output " + runs + "/statistics");
  INFO(against_statistics.output);
  REQUIRE(against_statistics.exit_code == 0);
  CHECK_THAT(against_files.output, ContainsSubstring("frechet_distance, Inception 64 (formula:7) features"));
  CHECK_THAT(text_of(runs + "/files/summary.json"), ContainsSubstring("\"features\": \"Inception 64 (formula:7)\""));
  const double distance = number_of(runs + "/files/summary.json", "metrics.frechet_distance");
  CHECK(distance > 0);
  CHECK(std::abs(number_of(runs + "/statistics/summary.json", "metrics.frechet_distance") - distance) < 1e-9 * distance);

  const auto report = test::run_linden("report " + runs + " --output " + (folder / "report").string());
  INFO(report.output);
  REQUIRE(report.exit_code == 0);
  CHECK_THAT(text_of(folder / "report/report.md"), ContainsSubstring("Frechet distance, Inception 64 (formula:7) features"));
}

TEST_CASE("linden evaluate finds missing weights before it makes a run folder", "[e2e]") {
  const test::TemporaryFolder folder;
  const std::string run = (folder / "run").string();
  const auto result = evaluate(R"(--set 'features={"type": "inception", "file": "weights.pth"}' --output )" + run);
  CHECK(result.exit_code == 2);
  CHECK_THAT(result.output, ContainsSubstring("weights.pth: a PyTorch pickle, which linden does not read. Turn it into safetensors once: "
                                              "scripts/convert_inception weights.pth weights.safetensors"));
  CHECK_FALSE(std::filesystem::exists(run));
}

TEST_CASE("linden evaluate: a measurement that fails leaves no run folder, so the mended command runs into the same --output", "[e2e]") {
  const test::TemporaryFolder folder;
  const std::string run = (folder / "run").string();
  const std::string command = std::string("--set classifier= --set device=cpu --set samples.limit=0 --set samples.path=") + kGolden + "/a --output " + run +
                              " --set reference.path=" + kGolden + "/b";
  const auto failed = evaluate(command + " --set 'metrics=[\"accuracy\"]'");
  CHECK(failed.exit_code == 2);
  CHECK_THAT(failed.output, ContainsSubstring("metrics: accuracy needs a classifier"));
  CHECK_FALSE(std::filesystem::exists(run));
  const auto mended = evaluate(command + " --set 'metrics=[\"frechet_distance\"]'");
  INFO(mended.output);
  CHECK(mended.exit_code == 0);
  CHECK(std::filesystem::exists(run + "/summary.json"));
}
