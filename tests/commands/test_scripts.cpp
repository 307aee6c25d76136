// What the scripts say when something is missing or misspelt. Nothing is installed or built here.
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "tests/support/support.h"

using Catch::Matchers::ContainsSubstring;
using linden::test::run_shell;

TEST_CASE("a LINDEN_TORCH without LibTorch is named before anything is installed or built", "[unit]") {
  for (const char* script : {"scripts/setup", "scripts/build"}) {
    const auto result = run_shell(std::string("LINDEN_TORCH=/no/libtorch ") + script);
    CHECK(result.exit_code == 1);
    CHECK_THAT(result.output,
               ContainsSubstring("LINDEN_TORCH is /no/libtorch, which holds no share/cmake/Torch/TorchConfig.cmake"));
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
  CHECK_THAT(run_shell("LINDEN_BINARY=/no/linden scripts/demo").output,
             ContainsSubstring("there is no /no/linden; scripts/build makes it"));
}
