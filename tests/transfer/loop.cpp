// The loop of a transfer on a teacher of four tiny blocks: the student starts as the teacher, a resumed run is the uninterrupted one, a batch may
// be computed in parts, and what does not fit is named.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <map>
#include <sstream>

#include "core/error.h"
#include "core/files.h"
#include "core/progress.h"
#include "core/run_directory.h"
#include "io/safetensors.h"
#include "models/model_digest.h"
#include "tests/support/support.h"
#include "tests/transfer/tiny_teacher.h"
#include "transfer/gates.h"
#include "transfer/loop.h"
#include "transfer/trajectory_run.h"

namespace linden {
namespace {

namespace fs = std::filesystem;
using Catch::Matchers::ContainsSubstring;
using test::message_of;
using test::TemporaryFolder;

constexpr int64_t kLayers = 4, kHeadDim = 32;  // linear attention takes no smaller heads

// A teacher and 12 trajectories of it in `folder`, and a transfer of 6 steps.
TransferConfig transfer_in(const TemporaryFolder& folder) {
  at::set_num_threads(1);
  TransferConfig config;
  config.teacher = (folder / "teacher").string();
  config.trajectories = (folder / "trajectories").string();
  if (!fs::exists(config.teacher)) {
    save_video_model(config.teacher, test::tiny_teacher(0, 1, kLayers, kHeadDim), at::kFloat);
    TrajectoriesConfig paths;
    paths.teacher = config.teacher;
    paths.prompts = (folder / "prompts.txt").string();
    write_file_atomically(paths.prompts, "a up\na down\n");
    FlowUniPCConfig sampler;
    sampler.num_steps = 5;
    paths.sampler = sampler;
    paths.guidance.scale = 2;
    paths.num_trajectories = 12;
    paths.dtype = "fp32";
    const VideoModelLayout layout = read_video_model_layout(paths.teacher);
    resolve_trajectories(paths, layout);
    ConfigRefOf<TrajectoriesConfig> ref(paths);
    RunDirectory run({"trajectories", "case", config.trajectories, false, ""}, ref);
    make_trajectories(paths, describe_trajectories(paths, layout, video_model_digest(paths.teacher, paths.weights)),
                      load_video_model(paths.teacher, "folder", at::kFloat, at::kCPU), run, at::kCPU);
  }
  config.guidance.scale = 2;
  config.gates.num_linear = 2;
  config.gates.learning_rate = 0.1;
  config.gates.commit_at = 0.5;
  config.steps = 6;
  config.batch_size = 4;
  config.optimizer.learning_rate = 1e-3;
  config.learning_rate.warmup_steps = 1;
  config.warm_start.steps = 2;
  config.num_held_out = 2;
  config.num_points = 4;
  config.log_every = 2;
  config.checkpoint_every = 1;
  config.keep_checkpoints = 100;
  config.strip_every = 0;
  config.num_strip_clips = 0;
  config.precision = "fp32";
  return config;
}

TransferResult run_in(const fs::path& output, TransferConfig config, bool resume = false) {
  TransferInputs inputs = prepare_transfer(config, at::kCPU);
  ConfigRefOf<TransferConfig> ref(config);
  RunDirectory run({"transfer", "case", output, resume, ""}, ref);
  return transfer(config, std::move(inputs), run, at::kCPU);
}

NamedTensors weights_of(const fs::path& run) { return load_safetensors(run / "model" / "transformer" / "diffusion_pytorch_model.safetensors"); }

TEST_CASE("at r = 1 the student is the teacher, bit for bit, with both branches running", "[unit]") {
  VideoDit teacher = test::tiny_teacher(1, 1, kLayers, kHeadDim).transformer;
  teacher->eval();
  at::manual_seed(5);
  VideoDit student = convert_attention(teacher, HedgehogMapConfig{}, {true, false, true, true});
  GateConfig gates;
  gates.start = 1;
  GateScores scores(gates, {}, student);
  CHECK(scores.layers() == std::vector<int64_t>{0, 2, 3});
  for (const int64_t layer : scores.layers()) student->blocks()[static_cast<size_t>(layer)]->self_attention()->run_as(AttentionKind::kGated);
  const at::NoGradGuard no_grad;
  const at::Tensor x = at::randn({2, 1, 2, 4, 4}), time = at::tensor({700.f, 30.f}), text = at::randn({2, 3, 8});
  const at::Tensor wanted = teacher(x, time, text);
  CHECK(at::equal(student(x, time, text), wanted));
  scores.r.fill_(0.5);
  CHECK_FALSE(at::equal(student(x, time, text), wanted));
  CHECK_THAT(message_of([&] {
               convert_attention(without_gates(student, {2}), HedgehogMapConfig{}, {true, true, true, true});
             }),
             ContainsSubstring("the teacher's layer 2 is linear already"));
}

TEST_CASE("gates: the count pulls them down together, a matching gradient holds one back, the smallest are chosen", "[unit]") {
  VideoDit student = convert_attention(test::tiny_teacher(1, 1, kLayers, kHeadDim).transformer, HedgehogMapConfig{}, {true, true, true, true});
  GateConfig config;
  config.num_linear = 2;
  config.learning_rate = 0.02;
  for (const char* parametrisation : {"raw", "sigmoid"}) {
    config.parametrisation = parametrisation;
    GateScores scores(config, {.warmup = 1}, student);  // the regulariser holds scores near 1 where they are
    for (int64_t step = 1; step <= 20; ++step) {
      scores.clear_gradient();
      scores.gradient[1] -= 10;  // layer 1 costs much where it is linear
      scores.begin_step(step, 0.1);
      scores.apply();
    }
    INFO(parametrisation << " " << scores.r);
    CHECK(scores.smallest(3) == std::vector<int64_t>{0, 2, 3});
    CHECK(scores.r[0].item<float>() < scores.r[1].item<float>());
    CHECK(scores.r.min().item<float>() >= 0);
    CHECK(scores.r.max().item<float>() <= 1);
  }
}

TEST_CASE("a transfer ends in a model of softmax and linear layers that loads by itself", "[unit]") {
  const TemporaryFolder folder;
  const TransferConfig config = transfer_in(folder);
  const TransferResult result = run_in(folder / "run", config);
  CHECK(result.num_linear == 2);
  CHECK(result.linear_layers.size() == 2);
  CHECK(result.gap_at_start < 1e-3);
  CHECK(result.gap_after_commit > 0);
  const VideoModel student = load_video_model(folder / "run" / "model", "folder", at::kFloat, at::kCPU);
  int64_t linear = 0;
  for (const std::string& kind : attention_of_blocks(student.transformer->config())) linear += kind == "linear";
  CHECK(linear == 2);
  for (const auto& [name, tensor] : weights_of(folder / "run")) CHECK_FALSE(is_gate(name));
  CHECK(fs::exists(folder / "run" / "layers.csv"));
  CHECK(fs::exists(folder / "run" / "block_errors.csv"));
}

TEST_CASE("a transfer that goes on from any state equals one that was never stopped", "[unit]") {
  const TemporaryFolder folder;
  TransferConfig config = transfer_in(folder);
  config.matching = DmdMatchingConfig{};  // its critic, too
  config.critic.steps = 2;
  config.detectors.stop = false;
  run_in(folder / "whole", config);
  const NamedTensors wanted = weights_of(folder / "whole");
  for (const int64_t step : {1, 3, 5}) {  // before, at and after the commit
    const fs::path part = folder / fmt::format("part{}", step);
    fs::copy(folder / "whole", part, fs::copy_options::recursive);
    for (int64_t later = step + 1; later <= config.steps; ++later) remove_folder(part / fmt::format("step_{}", later));
    remove_folder(part / "model");
    fs::remove(part / "summary.json");
    run_in(part, config, /*resume=*/true);
    for (const auto& [name, tensor] : weights_of(part)) {
      INFO(step << " " << name);
      CHECK(at::equal(tensor, wanted.at(name)));
    }
    CHECK(read_text_file(part / "layers.csv") == read_text_file(folder / "whole" / "layers.csv"));
  }
}

TEST_CASE("the parts of every step are timed, also after a resume, and change nothing", "[unit]") {
  const TemporaryFolder folder;
  TransferConfig config = transfer_in(folder);
  run_in(folder / "plain", config);
  config.time_stages = true;
  run_in(folder / "timed", config);
  const auto weights = [&](const std::string& run) { return read_text_file(folder / run / "model" / "transformer" / "diffusion_pytorch_model.safetensors"); };
  CHECK(weights("plain") == weights("timed"));
  for (const int64_t step : {4, 5, 6}) fs::remove_all(folder / "timed" / ("step_" + std::to_string(step)));
  for (const char* written : {"summary.json", "model"}) fs::remove_all(folder / "timed" / written);
  run_in(folder / "timed", config, /*resume=*/true);
  std::map<std::string, std::map<int64_t, double>> ms;  // stage -> step -> ms
  std::istringstream rows(read_text_file(folder / "timed" / "stages.csv"));
  std::string line;
  std::getline(rows, line);
  CHECK(line == "step,stage,ms,allocated_gb,peak_gb");
  size_t number = 0;
  while (std::getline(rows, line)) {
    ++number;
    const size_t first = line.find(','), last = line.find(',', first + 1);
    ms[line.substr(first + 1, last - first - 1)][std::stoll(line)] = std::stod(line.substr(last + 1));
  }
  size_t different = 0;
  for (const auto& [stage, steps] : ms) {
    INFO(stage);
    CHECK(steps.size() == 6);
    different += steps.size();
  }
  CHECK(number == different);  // no step twice
  for (const auto& [step, whole] : ms.at("step")) CHECK(whole >= ms.at("backward").at(step) + ms.at("teacher").at(step) + ms.at("optimizer").at(step));
}

TEST_CASE("a batch in parts is the batch, to rounding", "[unit]") {
  const TemporaryFolder folder;
  TransferConfig config = transfer_in(folder);
  config.optimizer.epsilon = 1e-3;  // Adam turns a gradient's rounding into steps where it is near 0
  run_in(folder / "1", config);
  for (const int64_t parts : {2, 4}) {
    config.accumulate = parts;
    run_in(folder / std::to_string(parts), config);
    for (const auto& [name, tensor] : weights_of(folder / std::to_string(parts))) {
      INFO(parts << " " << name);
      const NamedTensors whole = weights_of(folder / "1");
      REQUIRE(whole.contains(name));
      CHECK(at::allclose(tensor, whole.at(name), 1e-4, 1e-5));
    }
  }
}

TEST_CASE("what does not fit a transfer is named", "[unit]") {
  const TemporaryFolder folder;
  const TransferConfig good = transfer_in(folder);
  const auto refusal = [&](const std::function<void(TransferConfig&)>& change) {
    TransferConfig config = good;
    change(config);
    return message_of([&] { prepare_transfer(config, at::kCPU); });
  };
  CHECK(refusal([](TransferConfig&) {}).empty());
  CHECK_THAT(refusal([](TransferConfig& c) { c.gates.num_linear = 40; }),
             ContainsSubstring("gates.num_linear is 40, but the teacher has 4 layers (allowed 0..4)"));
  CHECK_THAT(refusal([](TransferConfig& c) { c.gates.forbidden = {0, 1, 2}; }), ContainsSubstring("leaves 1 of the teacher's 4 layers"));
  CHECK_THAT(refusal([](TransferConfig& c) { c.guidance = {.convention = "c_plus", .scale = 1}; }), ContainsSubstring("u_plus 2"));
  CHECK_THAT(refusal([](TransferConfig& c) { c.trajectories = ""; }), ContainsSubstring("trajectories is empty"));
  CHECK_THAT(refusal([](TransferConfig& c) { c.batch_size = 51; }), ContainsSubstring("50 are left to train on"));
  CHECK_THAT(refusal([](TransferConfig& c) { c.accumulate = 3; }), ContainsSubstring("accumulate = 3 does not divide"));
  CHECK_THAT(refusal([&](TransferConfig& c) {
               c.teacher = (folder / "other").string();
               save_video_model(c.teacher, test::tiny_teacher(7, 1, kLayers, kHeadDim), at::kFloat);
             }),
             ContainsSubstring("teacher"));
  CHECK_THAT(refusal([&](TransferConfig& c) {
               VideoModel linear = test::tiny_teacher(7, 1, kLayers, kHeadDim);
               linear.transformer = without_gates(convert_attention(linear.transformer, HedgehogMapConfig{}, {true, true, true, true}), {1});
               c.teacher = (folder / "linear").string();
               save_video_model(c.teacher, linear, at::kFloat);
             }),
             ContainsSubstring("layer 1 is linear already"));
}

}  // namespace
}  // namespace linden
