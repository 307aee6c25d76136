// The library for Python: loaded by torch.ops.load_library, compared with the plain torch expression.
#include <torch/version.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cstdlib>

#include "tests/support/support.h"

using Catch::Matchers::ContainsSubstring;
using linden::test::run_shell;

namespace {

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

// A Python whose torch has this build's version, or "" and why not in `reason`.
std::string find_python(std::string& reason) {
  const std::string deps = variable("LINDEN_DEPS").empty() ? variable("HOME") + "/.cache/linden/deps" : variable("LINDEN_DEPS");
  for (const std::string& python : {deps + "/venv/bin/python", std::string("python3")}) {
    const auto result = run_shell(python + " -W ignore -c \"import torch; print('torch', torch.__version__.split('+')[0])\"");
    if (result.exit_code == 0 && result.output.find(std::string("torch ") + TORCH_VERSION + "\n") != std::string::npos) return python;
    reason += python + (result.exit_code == 0 ? " has " + result.output : " has no torch\n");
  }
  return "";
}

}  // namespace

TEST_CASE("custom operator: Python loads it, and values, gradients, meta and errors are right", "[unit]") {
  std::string reason;
  const std::string python = find_python(reason);
  if (python.empty()) SKIP("no python with torch " TORCH_VERSION ": " << reason);
  const auto result = run_shell(python + " -W ignore tests/ops/python/custom_operator.py " LINDEN_OPS_LIBRARY);
  CHECK(result.exit_code == 0);
  CHECK_THAT(result.output, ContainsSubstring("custom operator: values and gradients agree"));
}
