// Clips from the command line: a tiny teacher is trained, sampled, resumed, measured and searched.
#include <ATen/ATen.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "core/files.h"
#include "io/hdf5.h"
#include "tests/support/support.h"

using namespace linden;
using Catch::Matchers::ContainsSubstring;
using linden::test::run_linden;

TEST_CASE("moving digits: train, sample, evaluate and align", "[e2e]") {
  test::TemporaryFolder folder;
  const std::string cpu = " --set device=cpu --set threads=1 ", teacher = (folder / "teacher").string(), clips = (folder / "clips").string();
  const test::CommandResult trained = run_linden("train configs/train/moving_digits_teacher_small.json" + cpu + "--set steps=10 --output " + teacher);
  INFO(trained.output);
  REQUIRE(trained.exit_code == 0);
  const std::string real = " --set clips.num_real=60 --set clips.data.source=shipped ";
  const std::string sample = "sample configs/sample/moving_digits.json" + cpu + real +
                             "--set sampler.num_steps=3 --set batch_size=4 --set prior.folder=" + teacher + "/model --output ";
  const test::CommandResult sampled = run_linden(sample + clips + " --set num_samples=6");
  INFO(sampled.output);
  REQUIRE(sampled.exit_code == 0);
  CHECK_THAT(sampled.output, ContainsSubstring("6 clips of 4 frames beside 60 real ones") && ContainsSubstring("guide: motion"));
  for (const char* file : {"samples.png", "samples.apng", "samples.html", "samples.h5", "summary.json"})
    CHECK(std::filesystem::exists(folder / "clips" / file));
  // Where FFmpeg's libraries are built in there is an mp4, else the run says why not, once.
  const bool has_mp4 = std::filesystem::exists(folder / "clips/samples.mp4");
  CHECK(has_mp4 != (sampled.output.find("samples.mp4 is not written: this linden was built without FFmpeg's libraries") != std::string::npos));
  CHECK_THAT(read_text_file(folder / "clips/captions.txt"), ContainsSubstring("a 0 moving right\na 1 moving right\n"));
  const test::CommandResult more = run_linden(sample + clips + " --set num_samples=9 --resume");
  INFO(more.output);
  REQUIRE(more.exit_code == 0);
  CHECK_THAT(more.output, ContainsSubstring("resumed with 6 finished samples"));
  CHECK_THAT(
      run_linden("evaluate configs/evaluate/moving_digits.json" + cpu + real + "--set samples.path=" + clips + " --output " + (folder / "e").string()).output,
      ContainsSubstring("9 clips of 4 frames beside 60 real ones"));
  // A word that the caption table does not have: exit code 2, the word and the nearest, no run folder.
  const std::string unknown = "the word \"movin\" is not known; did you mean \"moving\"?", nowhere = (folder / "x").string();
  const std::string search = "align configs/align/moving_digits_dts.json" + cpu + "--set prior.folder=" + teacher + "/model --output " + nowhere;
  for (const std::string& command : {sample + nowhere + R"( --set 'captions=["a 3 moving up", "a 3 movin up"]')",
                                     sample + nowhere + " --set 'prior.caption=a 3 movin up'", search + " --set 'prior.caption=a 3 movin up'"}) {
    const test::CommandResult refused = run_linden(command);
    INFO(command << "\n" << refused.output);
    CHECK(refused.exit_code == 2);
    CHECK_THAT(refused.output, ContainsSubstring("error: caption \"a 3 movin up\": " + unknown));
    CHECK_FALSE(std::filesystem::exists(nowhere));
  }
  for (const auto& [wrong, said] :
       {std::pair<std::string, std::string>{"'reward.caption=a 3 movin up'",
                                            "reward.caption: caption \"a 3 movin up\": names no digit and motion; wanted the form \"a 3 moving up-left\""},
        {"reward.caption=", "reward clip asks for nothing: reward.caption and prior.caption are both empty"}}) {
    const test::CommandResult refused = run_linden(search + " --set " + wrong);
    INFO(refused.output);
    CHECK(refused.exit_code == 2);
    CHECK_THAT(refused.output, ContainsSubstring(said));
    CHECK_FALSE(std::filesystem::exists(nowhere));
  }
  CHECK_THAT(run_linden(sample + (folder / "x").string() + R"( --set 'captions=["a 3"]')").output,
             ContainsSubstring("not every caption names a digit and a motion"));
  // The three methods: one budget, a reward that the caption does not ask for, clips that linden evaluate can measure.
  const std::string tiny = " --set sampler.num_steps=4 --set method.batch_size=4 --set nfe=64 --set num_samples=3 --set prior.folder=" + teacher + "/model";
  for (const std::string method : {"dts", "dts_star", "best_of_n"}) {
    const std::string config = "align configs/align/moving_digits_" + method + ".json" + cpu + tiny, run = (folder / ("align_" + method)).string();
    const test::CommandResult dry = run_linden(config + " --dry-run");
    INFO(dry.output);
    CHECK(dry.exit_code == 0);
    CHECK_THAT(dry.output, ContainsSubstring("64 NFE: 16 whole trajectories"));
    const test::CommandResult aligned = run_linden(config + " --output " + run);
    INFO(aligned.output);
    REQUIRE(aligned.exit_code == 0);
    CHECK_THAT(aligned.output, ContainsSubstring("log p(a 3 moving up-left | clip)"));
    CHECK_THAT(read_text_file(run + "/summary.json"), ContainsSubstring("\"nfe\": 64"));
    const Hdf5Reader samples(run + "/samples.h5");
    CHECK(at::equal(samples.read("digit"), at::full({3}, 3, at::kLong)));
    CHECK(at::equal(samples.read("motion"), at::full({3}, 5, at::kLong)));
    const test::CommandResult judged =
        run_linden("evaluate configs/evaluate/moving_digits.json" + cpu + real + "--set samples.path=" + run + " --output " + run + "_judged");
    INFO(judged.output);
    CHECK(judged.exit_code == 0);
    CHECK_THAT(judged.output, ContainsSubstring("3 clips of 4 frames beside 60 real ones") && ContainsSubstring("judge: "));
  }
  CHECK_THAT(run_linden("align configs/align/moving_digits_dts.json" + cpu + R"(--set 'sampler={"type":"unipc"}' --set prior.folder=)" + teacher +
                        "/model --output " + (folder / "y").string())
                 .output,
             ContainsSubstring("sampler.type unipc remembers earlier steps"));
}
