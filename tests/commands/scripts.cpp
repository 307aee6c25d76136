// What the scripts say when something is missing or misspelt. Nothing is installed or built here.
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <filesystem>

#include "core/files.h"
#include "tests/support/support.h"

using Catch::Matchers::ContainsSubstring;
using linden::test::run_shell;

TEST_CASE("a LINDEN_TORCH without LibTorch is named before anything is installed or built", "[unit]") {
  for (const char* script : {"scripts/setup", "scripts/build"}) {
    const auto result = run_shell(std::string("LINDEN_TORCH=/no/libtorch ") + script);
    CHECK(result.exit_code == 1);
    CHECK_THAT(result.output, ContainsSubstring("LINDEN_TORCH is /no/libtorch, which holds no share/cmake/Torch/TorchConfig.cmake"));
  }
}

TEST_CASE("scripts refuse options that they do not know", "[unit]") {
  const auto preset = run_shell("scripts/build --preset relaese");
  CHECK(preset.exit_code == 2);
  CHECK_THAT(preset.output, ContainsSubstring("unknown preset relaese, allowed: release, debug, asan"));
  const auto option = run_shell("scripts/build --job 1");
  CHECK(option.exit_code == 2);
  CHECK_THAT(option.output, ContainsSubstring("unknown option --job; scripts/build [--preset release|debug|asan]"));
  CHECK(run_shell("scripts/demo --shrot").exit_code == 2);
  CHECK_THAT(run_shell("LINDEN_BINARY=/no/linden scripts/demo").output, ContainsSubstring("there is no /no/linden; scripts/build makes it"));
}

// A tool and a test program that only print: what the verdicts are made from.
TEST_CASE("scripts/bench/sanitize gives a verdict a tag", "[unit]") {
  const linden::test::TemporaryFolder folder;
  const auto program = [&](const std::string& name, const std::string& text) {
    linden::write_file_atomically(folder / name, "#!/bin/sh\n" + text);
    std::filesystem::permissions(folder / name, std::filesystem::perms::owner_all);
    return (folder / name).string();
  };
  const std::string tests = program("test_cuda", R"(for tag in clean hazard fails slow crash none; do echo "   1  [race_$tag]"; done; echo "  30  [small]")");
  const std::string tool = program("compute-sanitizer", R"SH([ "$1" = --help ] && { echo "  --kernel-name arg   filter"; exit; }
for last in "$@"; do :; done
case "$*" in *"--kernel-name kns=linden"*) ;; *) exit 9 ;; esac
case $last in
  *hazard*) echo "========= RACECHECK SUMMARY: 2 hazards displayed (1 error, 1 warning)"; exit 77 ;;
  *fails*) echo "========= ERROR SUMMARY: 0 errors"; exit 1 ;;
  *slow*) exec sleep 20 ;;
  *crash*) echo "========= Internal Sanitizer Error: no idea"; exit 1 ;;
  *none*) echo "explicitly skipped: no CUDA device"; exit 255 ;;
  *) echo "========= ERROR SUMMARY: 0 errors" ;;
esac)SH");
  const std::string sanitize = "COMPUTE_SANITIZER=" + tool + " scripts/bench/sanitize " + tests + " --logs " + (folder / "logs").string() + " --timeout 2 ";
  const auto all = run_shell(sanitize + "--tool racecheck");
  INFO(all.output);
  CHECK(all.exit_code == 1);
  CHECK_THAT(all.output, ContainsSubstring("race_clean ") && ContainsSubstring("clean: ERROR SUMMARY: 0 errors") &&
                             ContainsSubstring("FOUND: RACECHECK SUMMARY: 2 hazards displayed (1 error, 1 warning)") &&
                             ContainsSubstring("TESTS FAILED: status 1") && ContainsSubstring("no verdict: not done in 2 s") &&
                             ContainsSubstring("TOOL ERROR: Internal Sanitizer Error: no idea") && ContainsSubstring("no verdict: no CUDA device") &&
                             !ContainsSubstring("small"));
  CHECK(std::filesystem::exists(folder / "logs/racecheck.race_hazard.txt"));
  CHECK(run_shell(sanitize + "--tag race_clean").exit_code == 0);
  CHECK(run_shell(sanitize + "--tag race_none").exit_code == 3);
  CHECK_THAT(run_shell(sanitize + "--tool memcheck").output, ContainsSubstring("memcheck   small "));
  CHECK_THAT(run_shell("scripts/bench/sanitize no/test_cuda").output,
             ContainsSubstring("there is no program no/test_cuda; scripts/build makes build/tests/test_cuda"));
}

TEST_CASE("the tables of selective transfer come again from the runs in the repository", "[unit]") {
  const linden::test::TemporaryFolder folder;
  const auto result =
      run_shell("LINDEN_BINARY=${LINDEN_BINARY:-" LINDEN_BINARY "} scripts/experiments/transfer_tables --report experiments/moving_digits/tables --output " +
                folder.path.string() + " objective");
  INFO(result.output);
  REQUIRE(result.exit_code == 0);
  const std::string report = linden::read_text_file(folder / "objective/report/report.md");
  CHECK_THAT(report, ContainsSubstring("| mse |") && ContainsSubstring("*61.56*") && ContainsSubstring("| adm | unit |") &&
                         ContainsSubstring("Runs that a detector stopped"));
}

TEST_CASE("keep_runs copies finished and stopped runs of a sweep, once, and no weights", "[unit]") {
  const linden::test::TemporaryFolder folder;
  const auto write = [&](const std::string& file, const std::string& text) {
    std::filesystem::create_directories((folder / file).parent_path());
    linden::write_file_atomically(folder / file, text);
  };
  for (const char* run : {"a=1,seed=1", "a=1,seed=2", "a=1,seed=3"}) write(std::string("sweep/cells/") + run + "/config.json", "{}");
  write("sweep/cells/a=1,seed=1/summary.json", "{}");
  write("sweep/cells/a=1,seed=1/model/weights.safetensors", "large");
  write("sweep/cells/a=1,seed=2/command.json", "{}");
  write("sweep/cells/a=1,seed=2/messages.csv", "step,level,text\n250,stop,\"it diverges\"\n");
  const std::string keep = "scripts/experiments/keep_runs " + (folder / "sweep").string() + " " + (folder / "kept").string();
  CHECK_THAT(run_shell(keep).output,
             ContainsSubstring("kept: a_1-seed_1\n") && ContainsSubstring("kept: a_1-seed_2\n") && ContainsSubstring("left out, not finished: a=1,seed=3"));
  CHECK(std::filesystem::exists(folder / "kept/a_1-seed_1/summary.json"));
  CHECK(std::filesystem::exists(folder / "kept/a_1-seed_2/command.json"));
  CHECK_FALSE(std::filesystem::exists(folder / "kept/a_1-seed_1/model"));
  CHECK_THAT(run_shell(keep).output, ContainsSubstring("kept already: a_1-seed_1"));
}
