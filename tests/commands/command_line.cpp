// Words to a CommandLine; help; exceptions to messages and exit codes.
#include <c10/util/Exception.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <fstream>
#include <new>

#include "commands/command_line.h"
#include "core/error.h"
#include "tests/support/support.h"

using namespace linden;
using Catch::Matchers::ContainsSubstring;
using linden::test::message_of;

namespace {

struct GardenConfig {
  int64_t seed = 0;
};
void visit_fields(FieldVisitor& v, GardenConfig& c) { visit(v, Field("seed", "seed"), c.seed); }

Command garden_command(CommandLine* seen = nullptr) {
  Command command;
  command.name = "garden";
  command.summary = "plants trees";
  command.usage = "linden garden config.json [options]";
  command.example = "linden garden configs/garden/lime.json";
  command.own_options = {{"watering", "litres a day"}};
  command.run = [seen](const CommandLine& line) {
    if (seen) *seen = line;
  };
  command.config = [] { return owned_config<GardenConfig>(); };
  return command;
}

Command plain_command() {
  Command command = garden_command();
  command.name = "plain";
  command.own_options = {{"output", "a file"}, {"input", "another"}};
  command.config = nullptr;
  return command;
}

std::exception_ptr thrown(auto error) { return std::make_exception_ptr(error); }

}  // namespace

TEST_CASE("options become assignments in the order in which they were typed", "[unit]") {
  test::TemporaryFolder folder;
  const std::string file = (folder / "a.json").string();
  std::ofstream(file) << "{}";
  const CommandLine line = parse_command_line(garden_command(), {file, "--set", "reward.digits=[0,2,4]", "--seed", "7", "--set=seed=8", "--device", "cpu",
                                                                 "--output=17", "--watering", "3", "--watering", "4", "--resume"});
  CHECK(line.command == "garden");
  CHECK(line.positional == std::vector<std::string>{file});
  CHECK(line.assignments == std::vector<std::string>{"reward.digits=[0,2,4]", "seed=7", "seed=8", "device=\"cpu\"", "output=\"17\""});
  CHECK(line.option("watering") == "4");
  CHECK(line.option("shade", "none") == "none");
  CHECK(line.resume);
  CHECK_FALSE(line.dry_run);
  CHECK_THAT(line.text, ContainsSubstring("linden garden " + file + " --set 'reward.digits=[0,2,4]' --seed 7"));
  CHECK(parse_command_line(garden_command(), {"--dry-run", file}).dry_run);
  CHECK(parse_command_line(garden_command(), {file, "--output", "a\tb\"c"}).assignments == std::vector<std::string>{"output=\"a\\u0009b\\\"c\""});
  CHECK_THAT(message_of([&] { parse_command_line(garden_command(), {file, "--output", "b\xff"}); }), ContainsSubstring("is no UTF-8 text"));
}

TEST_CASE("a command without a config takes its own options only", "[unit]") {
  const CommandLine line = parse_command_line(plain_command(), {"one", "--output", "out.h5", "two"});
  CHECK(line.positional == std::vector<std::string>{"one", "two"});
  CHECK(line.option("output") == "out.h5");
  CHECK(line.assignments.empty());
  CHECK_THAT(message_of([] { parse_command_line(plain_command(), {"--seed", "1"}); }), ContainsSubstring("linden plain: unknown option '--seed'"));
}

TEST_CASE("a command may choose among the shared options", "[unit]") {
  Command command = plain_command();
  command.own_options.clear();
  command.shared_options = {"device", "output"};
  CHECK(parse_command_line(command, {"--output", "a", "--device=cpu"}).assignments == std::vector<std::string>{"output=\"a\"", "device=\"cpu\""});
  CHECK_THROWS_AS(parse_command_line(command, {"--seed", "1"}), InputError);
  CHECK_THAT(command_help(command), ContainsSubstring("--device NAME") && !ContainsSubstring("--resume"));
}

TEST_CASE("an unknown option is named with the nearest one", "[unit]") {
  const auto message = [](std::vector<std::string> words) { return message_of([&] { parse_command_line(garden_command(), words); }); };
  CHECK_THAT(message({"a.json", "--outptu", "x"}), ContainsSubstring("linden garden: unknown option '--outptu'; did you mean '--output'?"));
  CHECK_THAT(message({"a.json", "--outptu=x"}), ContainsSubstring("unknown option '--outptu'; did you mean '--output'?"));
  CHECK_THAT(message({"a.json", "--zzzzzzzzzz", "x"}), ContainsSubstring("unknown option '--zzzzzzzzzz' ("));
  CHECK_THAT(message({"a.json", "-x"}), ContainsSubstring("unknown option '-x'"));
  CHECK_THAT(message({"a.json", "--nfe", "100"}), ContainsSubstring("a key of the config is set with --set KEY=VALUE"));
  CHECK_THROWS_AS(parse_command_line(garden_command(), {"--zzz"}), InputError);
}

TEST_CASE("an option without its value says so", "[unit]") {
  CHECK_THAT(message_of([] { parse_command_line(garden_command(), {"a.json", "--seed"}); }), ContainsSubstring("seed"));
  CHECK_THROWS_AS(parse_command_line(garden_command(), {"a.json", "--seed"}), InputError);
  CHECK_THAT(message_of([] {
               parse_command_line(garden_command(), {"a.json", "--output", "--resume"});
             }),
             ContainsSubstring("linden garden: --output needs a value, but '--resume' follows it"));
}

TEST_CASE("a config file that is missing, misspelt or a folder is named", "[unit]") {
  test::TemporaryFolder folder;
  std::ofstream(folder / "digits_dts.json") << "{}";
  const auto message = [](std::vector<std::string> words) { return message_of([&] { parse_command_line(garden_command(), words); }); };
  CHECK_THAT(message({}), ContainsSubstring("linden garden: no config file given; wanted: linden garden config.json [options]"));
  CHECK_THAT(message({(folder / "digit_dts.json").string()}), ContainsSubstring("there is no config file '" + (folder / "digit_dts.json").string() +
                                                                                "'; did you mean '" + (folder / "digits_dts.json").string() + "'?"));
  CHECK_THAT(message({folder.path.string()}), ContainsSubstring("is a folder, wanted a config file"));
  CHECK_THAT(message({"a.json", "b.json"}), ContainsSubstring("got 2 arguments ('b.json' is one too many)"));
}

TEST_CASE("an unknown command is named with the nearest one", "[unit]") {
  const std::vector<Command> commands = {garden_command(), plain_command()};
  CHECK(find_command(commands, "plain").name == "plain");
  CHECK_THAT(message_of([&] { find_command(commands, "gardn"); }), ContainsSubstring("linden: unknown command 'gardn'; did you mean 'garden'?"));
  CHECK_THROWS_AS(find_command(commands, "gardn"), InputError);
}

TEST_CASE("help shows summary, usage, an example, every option and the exit codes", "[unit]") {
  const std::string help = command_help(garden_command());
  for (const char* part : {"linden garden: plants trees", "usage: linden garden config.json [options]", "build/linden garden configs/garden/lime.json",
                           "--watering VALUE", "--set KEY=VALUE", "--seed N", "--device NAME", "--output PATH", "--resume", "--dry-run", "--help"})
    CHECK_THAT(help, ContainsSubstring(part));
  CHECK_THAT(command_help(plain_command()), !ContainsSubstring("--seed"));
  const std::string general = help_text({garden_command()});
  for (const char* part : {"garden  plants trees", "  0  ", "  1  ", "  2  ", "  130  "}) CHECK_THAT(general, ContainsSubstring(part));
}

TEST_CASE("each kind of exception has its exit code and one line", "[unit]") {
  CHECK(describe_failure(thrown(InputError("a.json: bad"))).exit_code == 2);
  CHECK(describe_failure(thrown(ConfigError("a.json: bad"))).message == "a.json: bad");
  CHECK(describe_failure(thrown(ConfigError("a.json: bad"))).exit_code == 2);
  CHECK(describe_failure(thrown(Interrupted("saved"))).exit_code == 130);
  CHECK(describe_failure(thrown(CheckError("x: [2], wanted [3]"))).exit_code == 1);
  CHECK(describe_failure(thrown(std::runtime_error("disk"))).exit_code == 1);
  CHECK(describe_failure(thrown(std::bad_alloc())).message == "out of memory");
  CHECK(describe_failure(thrown(42)).exit_code == 1);
  const auto libtorch = [] {
    try {
      TORCH_CHECK(false, "sizes differ\nand a second line");
    } catch (...) { return describe_failure(std::current_exception()); }
    return Failure{};
  }();
  CHECK(libtorch.exit_code == 1);
  CHECK(libtorch.message == "LibTorch: sizes differ");
}

TEST_CASE("run_command_line runs the command and returns the exit code", "[unit]") {
  CommandLine seen;
  Command command = garden_command(&seen);
  command.takes_config_file = false;
  CHECK(run_command_line({command}, {"garden", "north", "--seed", "3"}) == 0);
  CHECK(seen.positional == std::vector<std::string>{"north"});
  CHECK(seen.assignments == std::vector<std::string>{"seed=3"});
  command.run = [](const CommandLine&) { throw Interrupted("saved"); };
  CHECK(run_command_line({command}, {"garden"}) == 130);
  CHECK(run_command_line({command}, {"garde"}) == 2);
  CHECK(run_command_line({command}, {}) == 2);
  CHECK(run_command_line({command}, {"garden", "--help"}) == 0);
}
