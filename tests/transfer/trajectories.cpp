// Trajectories: what is kept of a path, the folder that they are stored in, the sources that training reads, and what each says to
// what does not fit.
#include <sys/resource.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <algorithm>
#include <csignal>
#include <map>

#include <ATen/core/grad_mode.h>

#include "core/error.h"
#include "core/files.h"
#include "core/progress.h"
#include "core/random.h"
#include "core/run_directory.h"
#include "models/model_digest.h"
#include "tests/support/support.h"
#include "tests/transfer/tiny_teacher.h"
#include "transfer/trajectory_run.h"
#include "transfer/trajectory_shard.h"
#include "transfer/trajectory_source.h"

namespace linden {
namespace {

namespace fs = std::filesystem;
using Catch::Matchers::ContainsSubstring;
using test::message_of;
using test::TemporaryFolder;

constexpr int64_t kRoomy = int64_t{1} << 40;

// A teacher, prompts, and a config of 7 trajectories in shards of 2, in `folder`.
struct Case {
  explicit Case(const TemporaryFolder& folder) {
    at::set_num_threads(1);  // more are slower at this size
    config.teacher = test::write_tiny_teacher(folder / "teacher").string();
    config.prompts = (folder / "prompts.txt").string();
    write_file_atomically(config.prompts, "a up\n\na down\r\nup\n");
    config.run.seed = 3;
    config.num_trajectories = 7;
    FlowUniPCConfig sampler;
    sampler.num_steps = 5;
    config.sampler = sampler;
    config.guidance.scale = 2;
    config.batch_size = 2;
    config.shard_bytes = 2 * 5 * 32 * 2;
  }

  VideoModelLayout layout() const { return read_video_model_layout(config.teacher); }
  TrajectoryManifest manifest() {
    resolve_trajectories(config, layout());
    return describe_trajectories(config, layout(), video_model_digest(config.teacher, config.weights));
  }
  VideoModel teacher() const { return load_video_model(config.teacher, config.weights, at::kFloat, at::kCPU); }
  TrajectoriesSummary make(const fs::path& output, bool resume = false, const FreeBytes& free_bytes = free_bytes_of) {
    const TrajectoryManifest what = manifest();
    ConfigRefOf<TrajectoriesConfig> ref(config);
    RunDirectory run({"trajectories", "case", output, resume, ""}, ref);
    return make_trajectories(config, what, teacher(), run, at::kCPU, free_bytes);
  }

  TrajectoriesConfig config;
};

// Every shard's bytes and the manifest, by name.
std::map<std::string, std::string> contents(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("trajectories_") || name == kManifestFile) files[name] = read_text_file(entry.path());
  }
  return files;
}

std::string opening(const fs::path& folder, bool verify = true) {
  return message_of([&] { StoredTrajectories(folder, at::kCPU, kRoomy, verify); });
}

bool same(const at::Tensor& a, const at::Tensor& b) { return (!a.defined() && !b.defined()) || at::equal(a, b); }

}  // namespace

TEST_CASE("which steps are kept", "[unit]") {
  using Steps = std::vector<int64_t>;
  CHECK(kept_steps({}, 3) == Steps{0, 1, 2});
  CHECK(kept_steps({.every = 2, .steps = {}}, 5) == Steps{0, 2, 4});
  CHECK(kept_steps({.every = 1, .steps = {4, 0}}, 5) == Steps{0, 4});
  CHECK_THAT(message_of([] {
               kept_steps({.every = 1, .steps = {1, 5}}, 5);
             }),
             ContainsSubstring("keep.steps has 5, but the sampler has 5 steps (allowed 0..4)"));
  CHECK_THAT(message_of([] { kept_steps({.every = 1, .steps = {1, 1}}, 5); }), ContainsSubstring("keep.steps has 1 twice"));
  CHECK_THAT(message_of([] { kept_steps({.every = 2, .steps = {1}}, 5); }), ContainsSubstring("keep one"));
}

TEST_CASE("a config takes the model's shift and sizes, and contradicts neither", "[unit]") {
  TemporaryFolder folder;
  Case c(folder);
  TrajectoryManifest m = c.manifest();
  CHECK(m.shift == 3);
  CHECK(m.latent_shape == std::vector<int64_t>{1, 2, 4, 4});
  CHECK(m.sigma.size() == 6);
  CHECK(m.sigma.back() == 0);
  CHECK(m.attention == std::vector<std::string>{"softmax"});
  CHECK(m.prompts == std::vector<std::string>{"a up", "a down", "up"});
  CHECK(m.trajectories_per_shard == 2);
  CHECK(m.num_shards() == 4);
  CHECK(m.shard_count(3) == 1);
  CHECK(trajectories_cost(m).bytes == 7 * 5 * 32 * 2);
  CHECK(trajectories_cost(m).network_calls == 7 * 5 * 2);
  TrajectoriesConfig other = c.config;
  schedule_of(other.sampler).shift = 8;
  CHECK_THAT(message_of([&] { resolve_trajectories(other, c.layout()); }),
             ContainsSubstring("sampler.shift is 8, but shift_from is model and the teacher's") && ContainsSubstring("has 3"));
  other.shift_from = "sampler";
  resolve_trajectories(other, c.layout());
  CHECK(schedule_of(other.sampler).shift == 8);
  other.width = 5;
  CHECK_THAT(message_of([&] { resolve_trajectories(other, c.layout()); }), ContainsSubstring("width is 5, but the teacher cuts it into patches of 2"));
  other = c.config;
  schedule_of(other.sampler).num_train_steps = 500;
  CHECK_THAT(message_of([&] { resolve_trajectories(other, c.layout()); }), ContainsSubstring("num_train_steps is 500"));
}

TEST_CASE("the order of prompts: in turn, or every round in another order", "[unit]") {
  TrajectoryManifest m;
  m.prompts = {"a", "b", "c", "d", "e"};
  for (int64_t i = 0; i < 12; ++i) CHECK(prompt_of(m, i) == i % 5);
  m.prompt_order = "shuffled";
  std::vector<int64_t> rounds[2];
  for (int64_t i = 0; i < 10; ++i) rounds[i / 5].push_back(prompt_of(m, i));
  CHECK(rounds[0] != rounds[1]);
  for (auto& round : rounds) {
    std::ranges::sort(round);
    CHECK(round == std::vector<int64_t>{0, 1, 2, 3, 4});
  }
}

TEST_CASE("a teacher's digest: the same in another folder, another for other weights", "[unit]") {
  TemporaryFolder folder;
  const fs::path one = test::write_tiny_teacher(folder / "one"), two = test::write_tiny_teacher(folder / "two", 1);
  const std::string digest = video_model_digest(one, "folder");
  CHECK(digest.size() == 64);
  CHECK(video_model_digest(two, "folder") != digest);
  CHECK(video_model_digest(one, "formula:1") != digest);
  CHECK(video_model_digest(one, "formula:1") != video_model_digest(one, "formula:2"));
  CHECK(video_model_digest(one, "formula:1") == video_model_digest(two, "formula:1"));
  fs::rename(one, folder / "elsewhere");
  CHECK(video_model_digest(folder / "elsewhere", "folder") == digest);
}

TEST_CASE("what is kept of an Euler path is that path", "[truth]") {
  TrajectoryManifest m;
  FlowEulerConfig euler;
  euler.num_steps = 6;
  m.sampler = euler;
  const FlowSchedule schedule = FlowSampler(m.sampler).schedule();
  m.num_steps = 6;
  m.sigma.assign(schedule.sigma.begin(), schedule.sigma.end());
  m.timestep.assign(schedule.timestep.begin(), schedule.timestep.end());
  m.latent_shape = {2, 1, 2, 3};
  m.keep = {0, 1, 2, 4};
  m.store = "x_and_velocity";
  m.dtype = "fp32";
  m.seed = 9;
  m.batch_size = 3;
  m.prompts = {"", "", ""};
  const TeacherVelocity teacher = [](const at::Tensor& x, const at::Tensor& timestep, const at::Tensor& prompt) {
    return at::tanh(x) + (timestep / 1000 + prompt).view({-1, 1, 1, 1, 1});
  };
  const TrajectoryGenerator generator(m, teacher, at::kCPU, at::kCPU);
  std::vector<int64_t> reported;
  const Trajectories made = generator.generate(4, 5, [&](int64_t nfe) { reported.push_back(nfe); });
  CHECK(reported == std::vector<int64_t>{3, 6, 9, 12, 15, 18, 20, 22, 24, 26, 28, 30});
  CHECK(at::equal(made.prompt, at::tensor({1, 2, 0, 1, 2}, at::kLong)));
  const std::vector<int64_t> indices = {4, 5, 6, 7, 8}, level(5, 6);
  CHECK(at::equal(made.x.select(1, 0), normal_rows(9, Purpose::kInitialState, indices, level, m.latent_shape)));
  for (int64_t k = 0; k < 4; ++k) {
    const auto i = static_cast<size_t>(m.keep[static_cast<size_t>(k)]);
    const at::Tensor x = made.x.select(1, k), u = made.velocity.select(1, k);
    CHECK(at::equal(u, teacher(x, at::full({5}, schedule.timestep[i]), made.prompt)));
    if (k + 1 < 3) CHECK(at::equal(made.x.select(1, k + 1), x + (schedule.sigma[i + 1] - schedule.sigma[i]) * u));
  }
  // A trajectory does not depend on its neighbours; bf16 is the rounded fp32.
  CHECK(at::equal(generator.generate(6, 1).x, made.x.narrow(0, 2, 1)));
  m.dtype = "bf16";
  CHECK(at::equal(TrajectoryGenerator(m, teacher, at::kCPU, at::kCPU).generate(4, 5).x, made.x.to(at::kBFloat16)));
}

TEST_CASE("stored trajectories are the teacher's, from memory and from the files", "[unit]") {
  TemporaryFolder folder;
  Case c(folder);
  c.config.store = "x_and_velocity";
  c.config.dtype = GENERATE(std::string("bf16"), std::string("fp32"));
  c.config.shard_bytes = 2 * c.manifest().trajectory_bytes();
  const fs::path output = folder / "run";
  const TrajectoriesSummary summary = c.make(output);
  CHECK(summary.pairs == 35);
  CHECK(summary.shards == 4);
  CHECK(summary.nfe == 35);
  StoredTrajectories loaded(output, at::kCPU, kRoomy), mapped(output, at::kCPU, 0);
  CHECK(loaded.on_device());
  CHECK_FALSE(mapped.on_device());
  CHECK(loaded.size() == 35);
  const TrajectoryManifest& m = loaded.manifest();
  const VideoModel teacher = c.teacher();
  const TrajectoryGenerator generator(m, teacher_velocity(teacher, m, at::kCPU), at::kCPU, at::kCPU);
  const at::Tensor rows = at::tensor({34, 0, 13, 13, 10}, at::kLong);  // trajectory and step: 6.4, 0.0, 2.3, 2.3, 2.0
  const TrajectoryBatch batch = loaded.batch(rows, 0), same_batch = mapped.batch(rows, 0);
  CHECK(at::equal(batch.x, same_batch.x));
  CHECK(at::equal(batch.velocity, same_batch.velocity));
  CHECK(batch.x.scalar_type() == at::kFloat);
  CHECK(at::equal(batch.x[0], generator.generate(6, 1).x[0][4].to(at::kFloat)));
  CHECK(at::equal(batch.velocity[2], generator.generate(2, 2).velocity[0][3].to(at::kFloat)));
  CHECK(at::equal(batch.step, at::tensor({4, 0, 3, 3, 0}, at::kLong)));
  CHECK(at::equal(batch.prompt, at::tensor({0, 0, 2, 2, 2}, at::kLong)));
  CHECK(batch.sigma[2].item<float>() == static_cast<float>(m.sigma[3]));
  CHECK(batch.next_sigma[2].item<float>() == static_cast<float>(m.sigma[4]));
  CHECK(batch.next_sigma[0].item<float>() == 0);
  CHECK(batch.timestep[0].item<float>() == static_cast<float>(m.timestep[4]));
  // The velocity is the guided one at x.
  const at::NoGradGuard no_grad;
  const auto encode = [&](const char* caption) { return teacher.text_encoder->encode(std::vector<std::string>{caption}); };
  const at::Tensor u =
      guided_velocity(teacher.transformer, {"u_plus", 2.0}, batch.x.narrow(0, 0, 1), batch.timestep.narrow(0, 0, 1), encode("a up"), encode(""));
  CHECK(at::allclose(batch.velocity.narrow(0, 0, 1), u, c.config.dtype == "bf16" ? 3e-2 : 1e-4, c.config.dtype == "bf16" ? 3e-2 : 1e-5));
  CHECK_THAT(message_of([&] { loaded.batch(rows.to(at::kFloat), 0); }), ContainsSubstring("wanted [B] int64"));
}

TEST_CASE("a run that was stopped and resumed leaves the bytes of one that was not", "[unit]") {
  TemporaryFolder folder;
  Case c(folder);
  c.make(folder / "whole");
  const auto whole = contents(folder / "whole");
  CHECK(whole.size() == 5);
  int64_t shards = 0;
  const FreeBytes stop_in_third = [&](const fs::path&) {
    if (++shards == 4) request_interrupt();  // once for all of them, then before each
    return kRoomy;
  };
  CHECK_THAT(message_of([&] { c.make(folder / "parts", false, stop_in_third); }),
             ContainsSubstring("interrupted in shard 2 of 4; the 2 finished shards in") && ContainsSubstring("--resume goes on"));
  clear_interrupt();
  CHECK(contents(folder / "parts").size() == 3);
  write_file_atomically(folder / "parts" / "trajectories_00002.h5.tmp.1.0", "half a shard");  // of a writer that was killed
  // Killed between the shard and the manifest: the shard is there, but counts for nothing.
  fs::copy_file(folder / "whole" / "trajectories_00002.h5", folder / "parts" / "trajectories_00002.h5");
  CHECK_THAT(opening(folder / "parts"), ContainsSubstring("2 of 4 shards are finished; run the same `linden trajectories` with --resume"));
  CHECK(c.make(folder / "parts", true).nfe == 3 * 5);
  CHECK(contents(folder / "parts") == whole);
  CHECK(c.make(folder / "parts", true).nfe == 0);
  // A shard that was lost afterwards is made again.
  fs::remove(folder / "parts" / "trajectories_00001.h5");
  CHECK_THAT(opening(folder / "parts"), ContainsSubstring("trajectories_00001.h5: this shard is missing (trajectories 2..3)"));
  c.make(folder / "parts", true);
  CHECK(contents(folder / "parts") == whole);
}

TEST_CASE("a resumed run refuses another teacher, other prompts, another config", "[unit]") {
  TemporaryFolder folder;
  Case c(folder);
  c.make(folder / "run");
  write_file_atomically(c.config.prompts, "a up\na down\n");
  CHECK_THAT(message_of([&] { c.make(folder / "run", true); }), ContainsSubstring("has other prompts now (2 of them) than when the run began (3)"));
  write_file_atomically(c.config.prompts, "a up\n\na down\r\nup\n");
  test::write_tiny_teacher(c.config.teacher, 5);
  CHECK_THAT(message_of([&] { c.make(folder / "run", true); }), ContainsSubstring("these trajectories are of another teacher: theirs is"));
  test::write_tiny_teacher(c.config.teacher);
  c.config.guidance.scale = 3;
  CHECK_THAT(message_of([&] { c.make(folder / "run", true); }), ContainsSubstring("--resume, but guidance.scale is 2.0 there and 3.0 now"));
}

TEST_CASE("damaged shards and manifests are named", "[unit]") {
  TemporaryFolder folder;
  Case c(folder);
  const fs::path run = folder / "run", shard = run / "trajectories_00001.h5";
  c.make(run);
  REQUIRE(opening(run).empty());
  const std::string whole = read_text_file(shard);
  write_file_atomically(shard, whole.substr(0, whole.size() - 1));
  CHECK_THAT(opening(run), ContainsSubstring(shard.string() + ": this shard is damaged: it has ") && ContainsSubstring("makes it again"));
  std::string flipped = whole;
  flipped[whole.size() / 2] = static_cast<char>(flipped[whole.size() / 2] ^ 1);
  write_file_atomically(shard, flipped);
  CHECK_THAT(opening(run), ContainsSubstring(shard.string() + ": this shard is damaged: its CRC-32 is "));
  write_file_atomically(shard, read_text_file(run / "trajectories_00002.h5"));
  CHECK_THAT(opening(run, /*verify=*/false), ContainsSubstring("belongs to other trajectories than manifest.json does"));
  fs::remove(shard);
  CHECK_THAT(opening(run), ContainsSubstring(shard.string() + ": this shard is missing"));
  TrajectoryManifest m = read_manifest(run);
  m.shards.file[0] = "../elsewhere.h5";
  write_manifest(run, m);
  CHECK_THAT(opening(run), ContainsSubstring("damaged: shard 0 is said to be the file ../elsewhere.h5, wanted trajectories_00000.h5"));
  m.shards.file[0] = shard_file(0);
  m.sigma.pop_back();
  write_manifest(run, m);
  CHECK_THAT(opening(run), ContainsSubstring("manifest.json: damaged: 5 levels and 5 timesteps for 5 steps"));
  write_file_atomically(run / kManifestFile, "{\"version\": 1, ");
  CHECK_THAT(opening(run), ContainsSubstring("manifest.json"));
  fs::remove(run / kManifestFile);
  CHECK_THAT(opening(run), ContainsSubstring("there is no manifest.json in it; wanted a folder that `linden trajectories` wrote"));
}

TEST_CASE("what a consumer of trajectories checks", "[unit]") {
  TemporaryFolder folder;
  Case c(folder);
  const TrajectoryManifest m = c.manifest();
  require_teacher(m, "runs/t", m.teacher, "elsewhere");
  CHECK_THAT(message_of([&] { require_teacher(m, "runs/t", "abc", "models/other"); }),
             ContainsSubstring("runs/t: these trajectories are of another teacher: theirs is " + m.teacher + " (then in " + c.config.teacher +
                               "), but models/other is abc"));
  require_guidance(m, {"u_plus", 2});
  CHECK_THAT(message_of([&] {
               require_guidance(m, {"c_plus", 2});
             }),
             ContainsSubstring("guidance is c_plus 2, but the trajectories were made with u_plus 2 (in c_plus that is 1); set guidance to u_plus 2"));
  CHECK_THAT(message_of([&] { require_guidance(m, {"c_plus", 1}); }), ContainsSubstring("(in c_plus that is 1)"));
  CHECK_THAT(message_of([&] {
               require_guidance(m, {"u_plus", 5});
             }),
             ContainsSubstring("guidance is u_plus 5, but the trajectories were made with u_plus 2; set guidance.scale to 2"));
  require_latents(m, 1, {1, 2, 2});
  CHECK_THAT(message_of([&] { require_latents(m, 16, {1, 2, 2}); }), ContainsSubstring("latents are [1, 2, 4, 4]") && ContainsSubstring("takes 16 channels"));
  CHECK_THAT(message_of([&] { require_latents(m, 1, {1, 3, 2}); }), ContainsSubstring("multiples of [1, 3, 2]"));
}

TEST_CASE("prompts that there are not, or that the teacher cannot read", "[unit]") {
  TemporaryFolder folder;
  Case c(folder);
  write_file_atomically(c.config.prompts, "\n  \n");
  CHECK_THAT(message_of([&] { c.manifest(); }), ContainsSubstring("prompts.txt: there is no prompt in it; wanted one a line"));
  write_file_atomically(c.config.prompts, "a up\na dwon\n");
  const TrajectoryManifest m = c.manifest();
  CHECK_THAT(message_of([&] { teacher_velocity(c.teacher(), m, at::kCPU); }),
             ContainsSubstring("prompts.txt: caption \"a dwon\": the word \"dwon\" is not known; did you mean \"down\"?"));
  TrajectoryManifest negative = m;
  negative.prompts = {"up"};
  negative.negative_prompt = "bad";
  CHECK_THAT(message_of([&] { teacher_velocity(c.teacher(), negative, at::kCPU); }), ContainsSubstring("negative_prompt: caption \"bad\""));
}

TEST_CASE("a disk without room: before the run, before a shard, while writing", "[unit]") {
  TemporaryFolder folder;
  Case c(folder);
  CHECK_THAT(message_of([&] { c.make(folder / "a", false, [](const fs::path&) { return int64_t{1000}; }); }),
             ContainsSubstring("no room for these trajectories: 4 shards need") && ContainsSubstring("and 1000 (0.00 GB) are free"));
  int64_t asked = 0;
  const FreeBytes shrinking = [&](const fs::path&) { return ++asked < 4 ? kRoomy : int64_t{77}; };
  CHECK_THAT(message_of([&] { c.make(folder / "b", false, shrinking); }),
             ContainsSubstring("trajectories_00002.h5: no room for shard 2 of 4: it needs") &&
                 ContainsSubstring("and 77 (0.00 GB) are free. The 2 finished shards are kept: make room and go on with --resume"));
  c.make(folder / "b", true);
  c.make(folder / "whole");
  CHECK(contents(folder / "b") == contents(folder / "whole"));

  c.config.shard_bytes = 1 << 20;  // all in one
  c.config.frames = 64;
  rlimit before{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  rlimit limit = before;
  limit.rlim_cur = 64 << 10;
  auto* const handler = ::signal(SIGXFSZ, SIG_IGN);
  ::setrlimit(RLIMIT_FSIZE, &limit);
  const std::string message = message_of([&] { c.make(folder / "c"); });
  ::setrlimit(RLIMIT_FSIZE, &before);
  ::signal(SIGXFSZ, handler);
  CHECK_THAT(message, ContainsSubstring("cannot be written: File too large") &&
                          ContainsSubstring("Shard 0 of 1 is not finished; the 0 before it are kept: make room and go on with --resume"));
  CHECK(contents(folder / "c").size() == 1);  // the manifest
}

TEST_CASE("files have at most the bytes that were announced", "[unit]") {
  TemporaryFolder folder;
  Case c(folder);
  c.config.store = "x_and_velocity";
  c.config.shard_bytes *= 2;
  c.make(folder / "run");
  const TrajectoryManifest m = read_manifest(folder / "run");
  CHECK(trajectories_cost(m).bytes_on_disk == 3 * shard_file_bound(m, 0) + shard_file_bound(m, 3));
  for (int64_t i = 0; i < m.num_shards(); ++i) {
    const auto bytes = static_cast<int64_t>(fs::file_size(folder / "run" / shard_file(i)));
    CHECK(bytes <= shard_file_bound(m, i));
    CHECK(bytes >= m.shard_count(i) * m.trajectory_bytes());
  }
}

TEST_CASE("an interruption ends the first filling of a rolling buffer; later ones are the training loop's to hear", "[unit]") {
  TemporaryFolder folder;
  Case c(folder);
  const TrajectoryManifest m = c.manifest();
  const VideoModel teacher = c.teacher();
  RollingTrajectories source(m, teacher_velocity(teacher, m, at::kCPU), {.capacity = 6, .refill = 3, .refill_every = 4}, at::kCPU);
  request_interrupt();
  CHECK_THROWS_AS(source.prepare(0), Interrupted);
  clear_interrupt();
  source.prepare(0);
  request_interrupt();
  CHECK_NOTHROW(source.prepare(4));
  clear_interrupt();
  CHECK(source.batch(at::arange(30), 4).x.isfinite().all().item<bool>());
}

TEST_CASE("a rolling buffer's content is a function of seed and step", "[unit]") {
  TemporaryFolder folder;
  Case c(folder);
  c.config.store = "x_and_velocity";
  const TrajectoryManifest m = c.manifest();
  const VideoModel teacher = c.teacher();
  const TeacherVelocity velocity = teacher_velocity(teacher, m, at::kCPU);
  const RollingConfig rolling{.capacity = 6, .refill = 3, .refill_every = 4};
  RollingTrajectories steady(m, velocity, rolling, at::kCPU);
  CHECK(steady.size() == 30);
  const at::Tensor all = at::arange(30);
  steady.prepare(0);
  const TrajectoryBatch start = steady.batch(all, 0);
  const TrajectoryGenerator generator(m, velocity, at::kCPU, at::kCPU);
  CHECK(at::equal(start.x.narrow(0, 0, 15), generator.generate(0, 3).x.flatten(0, 1).to(at::kFloat)));
  CHECK(at::equal(start.prompt.narrow(0, 0, 6), at::tensor({0, 0, 0, 0, 0, 1}, at::kLong)));
  for (int64_t step = 0; step < 24; ++step) {
    steady.prepare(step);
    const TrajectoryBatch now = steady.batch(all, step);
    RollingTrajectories resumed(m, velocity, rolling, at::kCPU);
    resumed.prepare(step);
    const TrajectoryBatch again = resumed.batch(all, step);
    CHECK(at::equal(now.x, again.x));
    CHECK(same(now.velocity, again.velocity));
    CHECK(at::equal(now.prompt, again.prompt));
    if (step == 3) CHECK(at::equal(now.x, start.x));
    if (step == 4) {  // trajectories 6..8 in the slots of 0..2
      CHECK(at::equal(now.x.narrow(0, 0, 15), generator.generate(6, 3).x.flatten(0, 1).to(at::kFloat)));
      CHECK(at::equal(now.x.narrow(0, 15, 15), start.x.narrow(0, 15, 15)));
    }
  }
  steady.prepare(0);
  CHECK(at::equal(steady.batch(all, 0).x, start.x));
  CHECK_THAT(message_of([&] { steady.batch(all, 5); }), ContainsSubstring("call prepare(5) first"));
  CHECK_THAT(message_of([&] { RollingTrajectories(m, velocity, {.capacity = 5, .refill = 2}, at::kCPU); }), ContainsSubstring("refill is 2 and capacity 5"));

  RollingConfig with_held_out = rolling;
  with_held_out.held_out = 2;
  RollingTrajectories held(m, velocity, with_held_out, at::kCPU);
  CHECK(held.size() == 40);
  const at::Tensor last = at::arange(30, 40);
  held.prepare(0);
  CHECK(at::equal(held.batch(all, 0).x, start.x));
  const TrajectoryBatch kept = held.batch(last, 0);
  for (const int64_t step : {4, 9, 40}) {
    held.prepare(step);
    CHECK(at::equal(held.batch(last, step).x, kept.x));
  }
  RollingTrajectories later(m, velocity, with_held_out, at::kCPU);
  later.prepare(40);
  CHECK(at::equal(later.batch(last, 40).x, kept.x));
  CHECK(at::equal(later.batch(last, 40).prompt, kept.prompt));
}

}  // namespace linden
