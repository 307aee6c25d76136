// Clips from the command line: a tiny teacher is trained, sampled, resumed, measured and searched.
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "core/run_directory.h"
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
  const std::string sample = "sample configs/sample/moving_digits.json" + cpu + real + "--set sampler.num_steps=3 --set batch_size=4 --set prior.folder=" + teacher + "/model --output ";
  const test::CommandResult sampled = run_linden(sample + clips + " --set num_samples=6");
  INFO(sampled.output);
  REQUIRE(sampled.exit_code == 0);
  CHECK_THAT(sampled.output, ContainsSubstring("6 clips of 4 frames beside 60 real ones") && ContainsSubstring("guide: motion"));
  for (const char* file : {"samples.png", "samples.apng", "samples.html", "samples.h5", "summary.json"}) CHECK(std::filesystem::exists(folder / "clips" / file));
  CHECK_THAT(read_text_file(folder / "clips/captions.txt"), ContainsSubstring("a 0 moving right\na 1 moving right\n"));
  const test::CommandResult more = run_linden(sample + clips + " --set num_samples=9 --resume");
  INFO(more.output);
  REQUIRE(more.exit_code == 0);
  CHECK_THAT(more.output, ContainsSubstring("resumed with 6 finished samples"));
  CHECK_THAT(run_linden("evaluate configs/evaluate/moving_digits.json" + cpu + real + "--set samples.path=" + clips + " --output " + (folder / "e").string()).output,
             ContainsSubstring("9 clips of 4 frames beside 60 real ones"));
  CHECK_THAT(run_linden(sample + (folder / "x").string() + R"( --set 'captions=["a 3 moving up", "a 3 movin up"]')").output, ContainsSubstring("the word \"movin\" is not known; did you mean \"moving\"?"));
  CHECK_THAT(run_linden(sample + (folder / "x").string() + R"( --set 'captions=["a 3"]')").output, ContainsSubstring("not every caption names a digit and a motion"));
  const test::CommandResult aligned = run_linden("align configs/align/moving_digits_dts.json" + cpu + "--set sampler.num_steps=4 --set nfe=60 --set num_samples=2 --set prior.folder=" + teacher +
                                                 "/model --output " + (folder / "align").string());
  INFO(aligned.output);
  CHECK(aligned.exit_code == 0);
  CHECK(std::filesystem::exists(folder / "align/samples.png"));
  CHECK_THAT(run_linden("align configs/align/moving_digits_dts.json" + cpu + R"(--set 'sampler={"type":"unipc"}' --set prior.folder=)" + teacher + "/model --output " + (folder / "y").string()).output,
             ContainsSubstring("sampler.type unipc remembers earlier steps"));
}
