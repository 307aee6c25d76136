// Which layers a transfer may make linear, and what it says to a config that asks for others.
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "tests/support/support.h"
#include "transfer/gate_config.h"

namespace linden {
namespace {

using Catch::Matchers::ContainsSubstring;

GateConfig gates(const std::string& selection, int64_t num_linear) {
  GateConfig config;
  config.selection = selection;
  config.num_linear = num_linear;
  return config;
}

TEST_CASE("fixed selections are those that they are called", "[unit]") {
  using Layers = std::vector<int64_t>;
  CHECK(fixed_selection(gates("learned", 3), 6, 0).empty());
  CHECK(fixed_selection(gates("first", 3), 6, 0) == Layers{0, 1, 2});
  CHECK(fixed_selection(gates("last", 2), 6, 0) == Layers{4, 5});
  GateConfig without_first = gates("first", 3);
  without_first.forbidden = {0, 2};
  CHECK(fixed_selection(without_first, 6, 0) == Layers{1, 3, 4});
  GateConfig listed = gates("listed", 2);
  listed.layers = {5, 1};
  CHECK(fixed_selection(listed, 6, 0) == Layers{1, 5});
  const Layers one = fixed_selection(gates("random", 3), 30, 1), other = fixed_selection(gates("random", 3), 30, 2);
  CHECK(one.size() == 3);
  CHECK(one != other);
  CHECK(one == fixed_selection(gates("random", 3), 30, 1));
}

TEST_CASE("a count that cannot be reached is named", "[unit]") {
  CHECK_THAT(test::message_of([] { fixed_selection(gates("learned", 40), 30, 0); }),
             ContainsSubstring("gates.num_linear is 40, but the teacher has 30 layers (allowed 0..30)"));
  GateConfig config = gates("learned", 5);
  config.forbidden = {0, 5};
  CHECK_THAT(test::message_of([&] { allowed_layers(config, 6); }), ContainsSubstring("leaves 4 of the teacher's 6 layers"));
  config.forbidden = {6};
  CHECK_THAT(test::message_of([&] { allowed_layers(config, 6); }), ContainsSubstring("gates.forbidden has layer 6"));
  GateConfig listed = gates("listed", 2);
  listed.layers = {1};
  CHECK_THAT(test::message_of([&] { fixed_selection(listed, 6, 0); }), ContainsSubstring("gates.layers has 1 layers, but gates.num_linear is 2"));
  listed.layers = {1, 1};
  CHECK_THAT(test::message_of([&] { fixed_selection(listed, 6, 0); }), ContainsSubstring("layer 1 twice"));
  listed.layers = {1, 9};
  CHECK_THAT(test::message_of([&] { fixed_selection(listed, 6, 0); }), ContainsSubstring("layer 9"));
}

}  // namespace
}  // namespace linden
