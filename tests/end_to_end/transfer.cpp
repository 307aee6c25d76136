// linden transfer from the command line: killed and resumed, on a full disk, with trajectories that are made on the way.
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <csignal>

#include "core/files.h"
#include "tests/support/support.h"
#include "tests/transfer/tiny_teacher.h"

using namespace linden;
using Catch::Matchers::ContainsSubstring;
using test::run_linden;

namespace {

namespace fs = std::filesystem;

// A teacher of four blocks with prompts, and the command line of a transfer of two of its layers in 40 steps, each of which is saved.
class Case {
 public:
  Case() {
    save_video_model(folder / "teacher", test::tiny_teacher(0, 1, 4, 32), at::kFloat);
    write_file_atomically(folder / "prompts.txt", "a up\na down\n");
  }

  std::string teacher() const { return " --set device=cpu --set threads=1 --set guidance.scale=2 --set teacher=" + (folder / "teacher").string(); }
  std::string trajectories() const {
    return "trajectories configs/transfer/moving_digits_trajectories.json --set sampler.num_steps=5 --set num_trajectories=12 --set prompts=" +
           (folder / "prompts.txt").string() + teacher() + " --output " + (folder / "trajectories").string();
  }
  std::string transfer(const std::string& output, const std::string& more = "") const {
    return "transfer configs/transfer/moving_digits.json --set steps=40 --set batch_size=4 --set num_held_out=2 --set num_points=4 --set gates.num_linear=2 "
           "--set clips.judge= --set clips.guide= "
           "--set num_strip_clips=2 --set strip_every=10 --set log_every=5 --set checkpoint_every=1 --set keep_checkpoints=100 --set warm_start.steps=2 --set "
           "precision=fp32 --set export_dtype=fp32" +
           teacher() + " --output " + (folder / output).string() + more;
  }
  std::string stored() const { return " --set trajectories=" + (folder / "trajectories").string(); }
  std::string rolling() const {
    return " --set trajectories= --set rolling.prompts=" + (folder / "prompts.txt").string() +
           " --set rolling.capacity=6 --set rolling.refill=2 --set rolling.refill_every=7 --set rolling.sampler.num_steps=5";
  }

  test::TemporaryFolder folder;
};

std::string weights(const fs::path& run) { return read_text_file(run / "model" / "transformer" / "diffusion_pytorch_model.safetensors"); }

}  // namespace

TEST_CASE("transfer: killed with SIGKILL and resumed equals one run; a full disk costs nothing that was saved", "[e2e]") {
  const Case c;
  REQUIRE(run_linden(c.trajectories()).exit_code == 0);
  const test::CommandResult whole = run_linden(c.transfer("whole", c.stored()));
  INFO(whole.output);
  REQUIRE(whole.exit_code == 0);

  const test::CommandResult killed = test::interrupt_linden(c.transfer("parts", c.stored()), c.folder / "parts" / "step_7", SIGKILL);
  INFO(killed.output);
  REQUIRE(killed.exit_code == 128 + SIGKILL);
  CHECK_FALSE(fs::exists(c.folder / "parts" / "summary.json"));

  // No file may grow beyond 16 KiB: the next state finds no room.
  const test::CommandResult full = test::run_shell("ulimit -f 32; " LINDEN_BINARY " " + c.transfer("parts", c.stored() + " --resume"));
  INFO(full.output);
  CHECK(full.exit_code == 1);
  CHECK_THAT(full.output, ContainsSubstring("going on from") && ContainsSubstring("File too large") && ContainsSubstring((c.folder / "parts").string()));
  CHECK_FALSE(fs::exists(c.folder / "parts" / "step_40"));

  const test::CommandResult resumed = run_linden(c.transfer("parts", c.stored() + " --resume"));
  INFO(resumed.output);
  REQUIRE(resumed.exit_code == 0);
  CHECK(weights(c.folder / "parts") == weights(c.folder / "whole"));
  for (const char* file : {"layers.csv", "bins.csv", "messages.csv", "step_40/optimizer.safetensors"})
    CHECK(read_text_file(c.folder / "parts" / file) == read_text_file(c.folder / "whole" / file));
  CHECK(fs::exists(c.folder / "parts" / "report.html"));

  // Resumed once more there is nothing left to do, and what it took stays told.
  REQUIRE(run_linden(c.transfer("parts", c.stored() + " --resume")).exit_code == 0);
  CHECK(read_text_file(c.folder / "parts" / "summary.json").find("\"tokens_per_second\": 0") == std::string::npos);
  CHECK(weights(c.folder / "parts") == weights(c.folder / "whole"));
  const test::CommandResult over = run_linden("report " + (c.folder / "whole").string() + " --output " + (c.folder / "parts").string());
  CHECK(over.exit_code == 2);
  CHECK_THAT(over.output, ContainsSubstring("this folder holds another run"));
}

TEST_CASE("transfer: trajectories made on the way; killed and resumed equals one run", "[e2e]") {
  const Case c;
  const test::CommandResult priced = run_linden(c.transfer("dry", c.rolling() + " --dry-run"));
  CHECK(priced.exit_code == 0);
  CHECK_THAT(priced.output, ContainsSubstring("made on the way: 30 pairs at hand") && ContainsSubstring("2 new paths every 7 steps"));
  const test::CommandResult whole = run_linden(c.transfer("whole", c.rolling()));
  INFO(whole.output);
  REQUIRE(whole.exit_code == 0);
  const test::CommandResult killed = test::interrupt_linden(c.transfer("parts", c.rolling()), c.folder / "parts" / "step_17", SIGKILL);
  REQUIRE(killed.exit_code == 128 + SIGKILL);
  const test::CommandResult resumed = run_linden(c.transfer("parts", c.rolling() + " --resume"));
  INFO(resumed.output);
  REQUIRE(resumed.exit_code == 0);
  CHECK(weights(c.folder / "parts") == weights(c.folder / "whole"));
  CHECK(read_text_file(c.folder / "parts" / "layers.csv") == read_text_file(c.folder / "whole" / "layers.csv"));

  const test::CommandResult both = run_linden(c.transfer("both", c.rolling() + " --set trajectories=somewhere"));
  CHECK(both.exit_code == 2);
  CHECK_THAT(both.output, ContainsSubstring("wanted one of the two"));
  const test::CommandResult uneven = run_linden(c.transfer("uneven", c.rolling() + " --set rolling.refill=4"));
  CHECK(uneven.exit_code == 2);
  CHECK_THAT(uneven.output, ContainsSubstring("rolling.capacity is 6, which rolling.refill = 4 does not divide"));
  CHECK_FALSE(fs::exists(c.folder / "uneven"));

  // The same teacher, other prompts.
  write_file_atomically(c.folder / "prompts.txt", "a down\na up\n");
  const test::CommandResult other = run_linden(c.transfer("parts", c.rolling() + " --resume"));
  CHECK(other.exit_code == 2);
  CHECK_THAT(other.output, ContainsSubstring("was trained from another teacher or other prompts"));
}

TEST_CASE("transfer: --dry-run refuses what the run would, and neither leaves a folder", "[e2e]") {
  const Case c;
  const auto fails = [&](const std::string& more) {
    for (const char* option : {" --dry-run", ""}) {
      const test::CommandResult result = run_linden(c.transfer("run", c.rolling() + more + option));
      INFO(more << option << ": " << result.output);
      CHECK(result.exit_code == 2);
      CHECK_FALSE(fs::exists(c.folder / "run"));
      if (!*option) return result.output;
    }
    return std::string();
  };
  CHECK_THAT(fails(" --set gates.num_linear=5"), ContainsSubstring("num_linear"));
  CHECK_THAT(fails(" --set gates.selection=listed --set gates.layers=[]"), ContainsSubstring("gates.layers"));
  CHECK_THAT(fails(" --set rolling.prompts=/nowhere.txt"), ContainsSubstring("/nowhere.txt"));
  CHECK_THAT(fails(" --set batch_size=1000000"), ContainsSubstring("are left to train on"));
  CHECK_THAT(fails(" --set compare=nowhere"), ContainsSubstring("nowhere: no such model folder (relative folders start at "));
  CHECK_THAT(fails(" --set rolling.frames=4611686018427387904"), ContainsSubstring("rolling.frames"));
}
