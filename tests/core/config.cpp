// Configs: reading with clear errors, merging, variants, and the round trip through JSON.
#include "core/config.h"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <fstream>

#include "tests/support/support.h"

using namespace linden;
using Catch::Matchers::ContainsSubstring;

namespace {

struct Round {
  static constexpr const char* kType = "round";
  double radius = 1;
};
void visit_fields(FieldVisitor& v, Round& c) { visit(v, Field("radius", "r").above(0), c.radius); }
struct Square {
  static constexpr const char* kType = "square";
  double side = 2;
};
void visit_fields(FieldVisitor& v, Square& c) { visit(v, Field("side", "s").between(0, 10), c.side); }
struct Inner {
  int64_t count = 3;
  std::vector<int64_t> list = {1, 2};
};
void visit_fields(FieldVisitor& v, Inner& c) {
  visit(v, Field("count", "how many").between(0, 30).changeable(), c.count);
  visit(v, Field("list", "numbers"), c.list);
}
struct Outer {
  int64_t seed = 0;
  std::string kind = "plain";
  bool flag = false;
  Inner inner;
  std::variant<Round, Square> shape;
};
void visit_fields(FieldVisitor& v, Outer& c) {
  visit(v, Field("seed", "seed"), c.seed);
  visit(v, Field("kind", "kind").one_of({"plain", "fancy"}), c.kind);
  visit(v, Field("flag", "flag"), c.flag);
  visit(v, Field("inner", "inner"), c.inner);
  visit(v, Field("shape", "shape"), c.shape);
}

struct Files {
  test::TemporaryFolder folder;
  std::filesystem::path write(const std::string& name, const std::string& text) {
    std::ofstream(folder / name) << text;
    return folder / name;
  }
};

std::string error_of(const std::string& text, std::vector<std::string> assignments = {}) {
  Files files;
  const auto file = files.write("a.json", text);
  Outer config;
  return test::message_of([&] { read_config({file, assignments, false}, config); });
}

}  // namespace

TEST_CASE("config: a file fills the struct, comments and 1e3 for integers allowed", "[unit]") {
  Files files;
  const auto file = files.write("a.json", R"({ // a comment
    "seed": 1e3, "kind": "fancy", "inner": {"list": []}, "shape": {"type": "square", "side": 4.5}})");
  Outer config;
  read_config({file, {"inner.count=7", "flag=true"}, false}, config);
  CHECK(config.seed == 1000);
  CHECK(config.kind == "fancy");
  CHECK(config.inner.count == 7);
  CHECK(config.inner.list.empty());
  CHECK(config.flag);
  CHECK(std::get<Square>(config.shape).side == 4.5);
}

TEST_CASE("config: every mistake names file, path, what was got and what is wanted", "[unit]") {
  CHECK_THAT(error_of(R"({"sead": 1})"), ContainsSubstring("a.json: sead is not a key") && ContainsSubstring("did you mean \"seed\"?"));
  CHECK_THAT(error_of(R"({"inner": {"cuont": 1}})"), ContainsSubstring("inner.cuont is not a key") && ContainsSubstring("\"count\""));
  CHECK_THAT(error_of(R"({"seed": "x"})"), ContainsSubstring("seed is \"x\", wanted an integer"));
  CHECK_THAT(error_of(R"({"seed": 1.5})"), ContainsSubstring("seed is 1.5, wanted an integer"));
  CHECK_THAT(error_of(R"({"inner": {"count": 40}})"), ContainsSubstring("inner.count is 40 (allowed: 0..30)"));
  CHECK_THAT(error_of(R"({"shape": {"radius": 0}})"), ContainsSubstring("shape.radius is 0 (allowed: above 0)"));
  CHECK_THAT(error_of(R"({"shape": {"type": "sqare"}})"),
             ContainsSubstring("shape.type is \"sqare\", allowed: round, square") && ContainsSubstring("did you mean \"square\""));
  CHECK_THAT(error_of(R"({"shape": {"type": "square", "radius": 1}})"), ContainsSubstring("shape.radius is not a key"));
  CHECK_THAT(error_of(R"({"kind": "fancie"})"), ContainsSubstring("kind is \"fancie\", allowed: plain, fancy; did you mean \"fancy\""));
  CHECK_THAT(error_of(R"({"inner": 3})"), ContainsSubstring("inner is 3, wanted an object"));
  CHECK_THAT(error_of(R"({"inner": {"list": [1, "b"]}})"), ContainsSubstring("inner.list is [1,\"b\"], wanted a list of integers"));
  CHECK_THAT(error_of(R"({"seed": 1,, })"), ContainsSubstring("not valid JSON"));
  CHECK_THAT(error_of(R"({"seed": 1, "seed": 2})"), ContainsSubstring("\"seed\" stands twice"));
  CHECK_THAT(error_of("{}", {"inner.count=99"}), ContainsSubstring("--set inner.count=99: inner.count is 99"));
  CHECK_THAT(error_of("{}", {"nonsense"}), ContainsSubstring("wanted KEY=VALUE"));
  CHECK_THAT(error_of(R"({"base": "missing.json"})"), ContainsSubstring("missing.json: no such config file"));
  CHECK_THAT(error_of(R"({"base": "a.json"})"), ContainsSubstring("lead back to itself"));
}

TEST_CASE("config: deep nesting and long names from outside are refused in few words", "[unit]") {
  Outer config;
  const auto problem = [&](const std::string& text) { return test::message_of([&] { from_json(text, "x", config); }); };
  // Printing the value, or merging it, went one call deeper for each bracket until the stack was full.
  CHECK(problem("{\"seed\": " + std::string(200'000, '[') + std::string(200'000, ']') + "}") == "x: objects and lists are nested more than 64 deep");
  std::string objects;
  for (int i = 0; i < 100'000; ++i) objects += "{\"a\":";
  CHECK(problem(objects) == "x: objects and lists are nested more than 64 deep");
  const auto set = [&](const std::string& assignment) { return test::message_of([&] { read_config({"", {assignment}}, config); }); };
  CHECK_THAT(set("seed=" + std::string(100'000, '[')), ContainsSubstring("nested more than 64 deep"));
  std::string path;
  for (int i = 0; i < 50'000; ++i) path += "a.";
  CHECK_THAT(set(path + "b=1"), ContainsSubstring("nested more than 64 deep"));
  // The nearest key was looked for in a table of name times candidate bytes.
  const std::string name(10'000'000, 'n');
  CHECK(problem("{\"" + name + "\": 1}").size() < 300);
  CHECK(problem("{\"shape\": {\"type\": \"" + name + "\"}}").size() < 300);
  CHECK_THAT(problem("{\"seed\": \"" + std::string(79, 'x') + "ü\"}"), ContainsSubstring("x..., wanted an integer"));
}

TEST_CASE("config: base files come first, and the message names the file that holds the mistake", "[unit]") {
  Files files;
  files.write("base.json", R"({"seed": 5, "inner": {"count": 9}, "shape": {"type": "round", "radius": 3}})");
  const auto child = files.write("child.json", R"({"base": "base.json", "inner": {"list": [4]}, "shape": {"type": "square"}})");
  Outer config;
  const auto notes = read_config({child, {}, false}, config);
  CHECK(config.seed == 5);
  CHECK(config.inner.count == 9);
  CHECK(config.inner.list == std::vector<int64_t>{4});
  CHECK(std::get<Square>(config.shape).side == 2);
  REQUIRE(notes.size() == 1);
  CHECK_THAT(notes[0], ContainsSubstring("shape.type changes from \"round\" to \"square\""));
  files.write("base.json", R"({"seed": true})");
  CHECK_THAT(test::message_of([&] { read_config({child, {}, false}, config); }), ContainsSubstring("base.json: seed is true"));
}

TEST_CASE("config: the written form reads back to the same config", "[unit]") {
  Outer config;
  config.seed = 77;
  config.inner.list = {9, 8};
  config.shape = Square{0.1};
  Outer back;
  from_json(to_json(config), "test", back);
  CHECK(to_json(back) == to_json(config));
}

TEST_CASE("config: differences name keys and say which may change on resume", "[unit]") {
  Outer a, b;
  b.seed = 1;
  b.inner.count = 4;
  b.shape = Square{};
  ConfigRefOf<Outer> left(a), right(b);
  const auto differences = config_difference(left, right);
  REQUIRE(differences.size() == 5);  // seed, inner.count, shape.type, shape.radius, shape.side
  CHECK(differences[0].key == "seed");
  CHECK_FALSE(differences[0].may_change);
  CHECK(differences[1].key == "inner.count");
  CHECK(differences[1].may_change);
}

TEST_CASE("config: schema and manual hold every key of every alternative", "[unit]") {
  Outer config;
  ConfigRefOf<Outer> ref(config);
  const std::string schema = config_schema(ref, "outer"), manual = config_manual(ref);
  for (const char* key : {"seed", "count", "radius", "side"}) {
    CHECK_THAT(schema, ContainsSubstring(std::string("\"") + key + "\""));
    CHECK_THAT(manual, ContainsSubstring(key));
  }
  CHECK_THAT(manual, ContainsSubstring("`shape[square].side`"));
}

TEST_CASE("nearest_name finds a misspelling and refuses a stranger", "[unit]") {
  CHECK(nearest_name("lamda", {"lambda", "gamma", "seed"}) == "lambda");
  CHECK(nearest_name("xyzzy", {"lambda", "seed"}).empty());
}
