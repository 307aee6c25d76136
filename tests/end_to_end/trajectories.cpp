// linden trajectories from the command line: priced, killed in the middle, resumed, read.
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <csignal>

#include "core/files.h"
#include "tests/support/support.h"
#include "tests/transfer/tiny_teacher.h"
#include "transfer/trajectory_manifest.h"
#include "transfer/trajectory_source.h"

using namespace linden;
using Catch::Matchers::ContainsSubstring;
using test::run_linden;

namespace {

namespace fs = std::filesystem;

constexpr int64_t kShards = 40;

// The command line of a run of 40 shards that takes some seconds.
std::string command(const test::TemporaryFolder& folder) {
  return "trajectories configs/transfer/moving_digits_trajectories.json --set device=cpu --set threads=1 --set store=x_and_velocity --set sampler.num_steps=10 "
         "--set batch_size=4 "
         "--set frames=32 --set num_trajectories=160 --set shard_bytes=1000 --set keep.every=3 --set teacher=" +
         (folder / "teacher").string() + " --set prompts=" + (folder / "prompts.txt").string();
}

bool same_file(const fs::path& a, const fs::path& b) { return read_text_file(a) == read_text_file(b); }

}  // namespace

TEST_CASE("trajectories: priced, killed with SIGKILL, resumed: the same bytes", "[e2e]") {
  test::TemporaryFolder folder;
  test::write_tiny_teacher(folder / "teacher");
  write_file_atomically(folder / "prompts.txt", "a up\na down\n");
  // A shard holds one batch: 4 trajectories of 4 kept steps, x and u, 512 elements of 2 bytes.
  const std::string make = command(folder) + " --set shard_bytes=32768 --output ";
  const test::CommandResult priced = run_linden(make + (folder / "dry").string() + " --dry-run");
  INFO(priced.output);
  CHECK(priced.exit_code == 0);
  CHECK_THAT(priced.output, ContainsSubstring("x and velocity [1, 32, 4, 4]") && ContainsSubstring("160 trajectories, 640 pairs under 2 prompts") &&
                                ContainsSubstring("1310720 bytes") && ContainsSubstring("40 of 4 trajectories") &&
                                ContainsSubstring("3200 of one video (1600 NFE, guidance u_plus 3.5)") && ContainsSubstring("FLOP each"));
  CHECK_FALSE(fs::exists(folder / "dry"));

  const test::CommandResult whole = run_linden(make + (folder / "whole").string());
  INFO(whole.output);
  REQUIRE(whole.exit_code == 0);
  CHECK_THAT(whole.output,
             ContainsSubstring("first batch: ") && ContainsSubstring("all that is left takes about") && ContainsSubstring("160 trajectories, 640 pairs"));

  // Killed as soon as three shards are there.
  const std::string parts = (folder / "parts").string();
  const test::CommandResult killed = test::interrupt_linden(make + parts, fs::path(parts) / "trajectories_00002.h5", SIGKILL);
  INFO(killed.output);
  CHECK(killed.exit_code == 128 + SIGKILL);
  const auto finished = static_cast<int64_t>(read_manifest(parts).shards.file.size());
  INFO(finished << " shards were finished");
  CHECK(finished >= 2);
  CHECK(finished < kShards);
  CHECK_THAT(run_linden(make + parts + " --resume --set guidance.scale=3").output, ContainsSubstring("--resume, but guidance.scale is 3.5 there and 3.0 now"));
  const test::CommandResult resumed = run_linden(make + parts + " --resume");
  INFO(resumed.output);
  REQUIRE(resumed.exit_code == 0);
  CHECK_THAT(resumed.output, ContainsSubstring("resumed with " + std::to_string(finished) + " of 40 finished shards"));
  for (int64_t shard = 0; shard < kShards; ++shard) CHECK(same_file(folder / "whole" / shard_file(shard), fs::path(parts) / shard_file(shard)));
  CHECK(same_file(folder / "whole" / kManifestFile, fs::path(parts) / kManifestFile));
  for (const auto& entry : fs::directory_iterator(parts)) CHECK_FALSE(entry.path().string().find(".tmp.") != std::string::npos);
  StoredTrajectories source(parts, at::kCPU, int64_t{1} << 30);
  CHECK(source.size() == 640);
  CHECK(source.batch(at::arange(640), 0).x.isfinite().all().item<bool>());
}

TEST_CASE("trajectories: what is wrong is said before there is a folder", "[e2e]") {
  test::TemporaryFolder folder;
  test::write_tiny_teacher(folder / "teacher");
  write_file_atomically(folder / "prompts.txt", "a up\na dwon\n");
  const std::string make = command(folder) + " --output " + (folder / "run").string();
  const auto fails = [&](const std::string& more) {
    const test::CommandResult result = run_linden(make + more);
    INFO(result.output);
    CHECK(result.exit_code == 2);
    CHECK_FALSE(fs::exists(folder / "run"));
    return result.output;
  };
  CHECK_THAT(fails(""), ContainsSubstring("the word \"dwon\" is not known; did you mean \"down\"?"));
  CHECK_THAT(fails(" --set teacher=nowhere"), ContainsSubstring("nowhere: no such model folder"));
  CHECK_THAT(fails(" --set teacher="), ContainsSubstring("teacher is empty"));
  CHECK_THAT(fails(" --set keep.steps=[99] --set keep.every=1"), ContainsSubstring("keep.steps has 99, but the sampler has 10 steps"));
  write_file_atomically(folder / "prompts.txt", "a up\n");
  CHECK_THAT(fails(" --dry-run --set frames=4611686018427387904"), ContainsSubstring("frames"));
  const test::CommandResult spoilt = run_linden(command(folder) + " --output " + (folder / "spoilt").string() + " --set guidance.scale=1e300");
  CHECK(spoilt.exit_code == 2);
  CHECK_THAT(spoilt.output, ContainsSubstring("trajectory 0 holds NaN or infinity at step ") && ContainsSubstring("guidance.scale"));
  CHECK_FALSE(fs::exists(folder / "spoilt" / shard_file(0)));
  CHECK_THAT(fails(" --set num_trajectories=1000000000"), ContainsSubstring("no room for these trajectories"));
  CHECK_THAT(fails(" --dry-run --set num_trajectories=1000000000"), ContainsSubstring("no room for these trajectories"));
}
