// The built program from the shell: help, exit codes, `config`, `doctor`.
#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include "tests/support/support.h"

using Catch::Matchers::ContainsSubstring;
using linden::test::run_linden;

namespace {

// The names between "commands" and the next empty line of `linden help`.
std::vector<std::string> listed_commands() {
  std::istringstream lines(run_linden("help").output);
  std::vector<std::string> names;
  bool listing = false;
  for (std::string line; std::getline(lines, line);) {
    if (listing && line.empty()) break;
    if (listing) names.push_back(line.substr(2, line.find(' ', 2) - 2));
    if (line == "commands") listing = true;
  }
  return names;
}

// The line after "example" in a command's help.
std::string example_of(const std::string& help) {
  std::istringstream lines(help);
  for (std::string line; std::getline(lines, line);)
    if (line == "example" && std::getline(lines, line)) return line;
  return "";
}

}  // namespace

TEST_CASE("every command's help has an example whose files are in the repository", "[e2e]") {
  const std::vector<std::string> commands = listed_commands();
  for (const char* name : {"config", "doctor", "forward", "train", "sample", "align", "report", "bench"})
    CHECK(std::find(commands.begin(), commands.end(), name) != commands.end());
  for (const std::string& command : commands) {
    INFO(command);
    const auto result = run_linden(command + " --help");
    CHECK(result.exit_code == 0);
    CHECK_THAT(result.output, ContainsSubstring("usage: linden " + command));
    const std::string example = example_of(result.output);
    CHECK_THAT(example, ContainsSubstring("build/linden " + command));
    std::istringstream words(example);
    for (std::string word; words >> word;)
      if (word.starts_with("configs/") || word.starts_with("tests/") || word.starts_with("experiments/"))
        CHECK((std::filesystem::exists(word) ? "" : word + " is missing") == "");
  }
}

TEST_CASE("exit codes of bad command lines", "[e2e]") {
  CHECK(run_linden("--version").output.rfind("linden ", 0) == 0);
  const auto unknown = run_linden("alignn x.json");
  CHECK(unknown.exit_code == 2);
  CHECK_THAT(unknown.output, ContainsSubstring("error: linden: unknown command 'alignn'; did you mean 'align'?"));
  const auto option = run_linden("align configs/align/gmm_dts.json --outptu 3");
  CHECK(option.exit_code == 2);
  CHECK_THAT(option.output, ContainsSubstring("unknown option '--outptu'; did you mean '--output'?"));
  const auto missing = run_linden("align configs/align/no_such_file.json");
  CHECK(missing.exit_code == 2);
  CHECK_THAT(missing.output, ContainsSubstring("there is no config file 'configs/align/no_such_file.json'"));
  CHECK(run_linden("").exit_code == 2);
}

TEST_CASE("config show resolves, and refuses an unknown key with the nearest one", "[e2e]") {
  const auto shown = run_linden("config show align configs/align/gmm_dts.json --set seed=17");
  CHECK(shown.exit_code == 0);
  CHECK_THAT(shown.output, ContainsSubstring("\"seed\": 17"));
  const auto unknown = run_linden("config show align configs/align/gmm_dts.json --set seeed=17");
  CHECK(unknown.exit_code == 2);
  CHECK_THAT(unknown.output, ContainsSubstring("seeed") && ContainsSubstring("seed"));
  const auto none = run_linden("config show doctor");
  CHECK(none.exit_code == 2);
  CHECK_THAT(none.output, ContainsSubstring("doctor takes no config; these do:") && ContainsSubstring("align"));
  const auto verb = run_linden("config shwo align");
  CHECK(verb.exit_code == 2);
  CHECK_THAT(verb.output, ContainsSubstring("wanted: linden config show"));
}

TEST_CASE("what config show prints is a config that resolves to itself", "[e2e]") {
  linden::test::TemporaryFolder folder;
  const std::string shown = run_linden("config show align configs/align/gmm_dts.json --set seed=17").output;
  const std::string file = (folder / "resolved.json").string();
  std::ofstream(file) << shown;
  CHECK(run_linden("config show align " + file).output == shown);
  CHECK(run_linden("config diff align " + file + " " + file).output == "no difference\n");
  CHECK_THAT(run_linden("config diff align configs/align/gmm_dts.json " + file).output, ContainsSubstring("seed: ") && ContainsSubstring(" -> 17"));
}

TEST_CASE("config schema is a JSON Schema of the command's keys", "[e2e]") {
  const auto schema = run_linden("config schema align");
  CHECK(schema.exit_code == 0);
  CHECK_THAT(schema.output, ContainsSubstring("json-schema.org/draft/2020-12") && ContainsSubstring("\"seed\""));
}

TEST_CASE("docs/config.md is what config manual prints (scripts/make_docs writes it)", "[e2e]") {
  std::ifstream file("docs/config.md");
  const std::string manual((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const auto printed = run_linden("config manual");
  CHECK(printed.exit_code == 0);
  if (printed.output != manual) FAIL_CHECK("docs/config.md is out of date: run scripts/make_docs");
}

TEST_CASE("doctor passes its self-test", "[e2e]") {
  const auto result = run_linden("doctor");
  INFO(result.output);
  CHECK(result.exit_code == 0);
  for (const char* part : {"LibTorch", "HDF5", "mp4  ", "random stream: passed", "network on the CPU, fp32 against fp64: passed", "healthy       yes"})
    CHECK_THAT(result.output, ContainsSubstring(part));
  CHECK(run_linden("doctor surplus").exit_code == 2);
}
