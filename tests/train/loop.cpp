#include "train/loop.h"

#include <stdlib.h>
#include <ATen/ATen.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/generators/catch_generators_adapters.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "core/error.h"
#include "core/files.h"
#include "core/logging.h"
#include "core/progress.h"
#include "io/png.h"
#include "io/safetensors.h"
#include "models/image_classifier.h"
#include "models/mlp_denoiser.h"
#include "models/model_folder.h"
#include "models/unet2d.h"
#include "models/scheduler_file.h"
#include "models/video_model.h"
#include "tests/support/support.h"
#include "train/cost_estimate.h"
#include "train/state.h"

using namespace linden;
using Catch::Matchers::ContainsSubstring;
using linden::test::message_of;
using linden::test::TemporaryFolder;
namespace fs = std::filesystem;

namespace {

TrainConfig read(const std::string& name, std::vector<std::string> assignments = {}) {
  TrainConfig config;
  assignments.push_back("device=cpu");
  read_config({fs::path("configs/train") / (name + ".json"), assignments}, config);
  return config;
}

TrainSummary train_into(const fs::path& folder, TrainConfig config, bool resume = false) {
  at::set_num_threads(1);  // small steps: threads would wait for each other
  TrainingInputs inputs = prepare_training(config);
  ConfigRefOf<TrainConfig> ref(config);
  RunDirectory run({"train", "test", folder, resume, "linden train"}, ref);
  return train(config, std::move(inputs), run, at::kCPU);
}

void require_equal_files(const fs::path& left, const fs::path& right) {
  const NamedTensors a = load_safetensors(left), b = load_safetensors(right);
  REQUIRE(a.size() == b.size());
  for (const auto& [name, tensor] : a) {
    INFO(left.string() << ": " << name);
    REQUIRE(at::equal(tensor, b.at(name)));
  }
}

void require_equal_runs(const fs::path& left, const fs::path& right, const std::string& last_state, const std::string& weights) {
  for (const char* file : {"model.safetensors", "ema.safetensors", "optimizer.safetensors"})
    require_equal_files(left / last_state / file, right / last_state / file);
  require_equal_files(left / "model" / weights, right / "model" / weights);
  CHECK(read_text_file(left / "metrics.csv") == read_text_file(right / "metrics.csv"));
  CHECK(read_text_file(left / last_state / "state.json") == read_text_file(right / last_state / "state.json"));
}

const std::vector<std::string> kTinyMlp = {
    "steps=60", "batch_size=32", "log_every=7", "checkpoint_every=20", "num_grid_samples=4", "data.num_examples=500", "task.sampler.num_steps=10"};

class MissingData {
 public:
  explicit MissingData(const fs::path& folder) : old_(getenv("LINDEN_DATA") ? getenv("LINDEN_DATA") : "") { setenv("LINDEN_DATA", folder.c_str(), 1); }
  ~MissingData() {
    if (old_.empty()) unsetenv("LINDEN_DATA");
    else setenv("LINDEN_DATA", old_.c_str(), 1);
  }

 private:
  std::string old_;
};

}  // namespace

TEST_CASE("a resumed run equals an uninterrupted one, bit for bit", "[unit]") {
  TemporaryFolder folder;
  const TrainConfig config = read("gmm_mlp_small", kTinyMlp);
  train_into(folder / "whole", config);

  // To 40 of 60 steps: as if killed after the state of step 40 (a later row of metrics.csv is cut).
  fs::create_directories(folder / "parts");
  fs::copy(folder / "whole", folder / "parts", fs::copy_options::recursive);
  for (const char* name : {"step_60", "model", "summary.json"}) fs::remove_all(folder / "parts" / name);
  const TrainSummary summary = train_into(folder / "parts", config, true);
  CHECK(summary.steps == 60);
  CHECK(summary.examples_seen == 60 * 32);
  require_equal_runs(folder / "whole", folder / "parts", "step_60", "model.safetensors");
}

TEST_CASE("a damaged newest state is named and set aside, and the one before it is taken", "[unit]") {
  TemporaryFolder folder;
  const TrainConfig config = read("gmm_mlp_small", kTinyMlp);
  train_into(folder / "whole", config);
  const std::string file =
      GENERATE(std::string("optimizer.safetensors"), std::string("ema.safetensors"), std::string("model.safetensors"), std::string("state.json"));
  INFO(file);
  fs::copy(folder / "whole", folder / "parts", fs::copy_options::recursive);
  for (const char* name : {"model", "summary.json"}) fs::remove_all(folder / "parts" / name);
  const fs::path damaged = folder / "parts" / "step_60" / file;
  fs::resize_file(damaged, fs::file_size(damaged) / 2);
  const int64_t warnings = warnings_logged();
  CHECK(train_into(folder / "parts", config, true).steps == 60);
  CHECK(warnings_logged() == warnings + 1);
  const std::string log = read_text_file(folder / "parts" / "log.txt");
  CHECK_THAT(log, ContainsSubstring((folder / "parts" / "step_60").string() + ": the state cannot be read (") && ContainsSubstring(file) &&
                      ContainsSubstring("set aside as step_60.damaged, and the run goes on from " + (folder / "parts" / "step_40").string()));
  CHECK(fs::exists(folder / "parts" / "step_60.damaged" / file));
  require_equal_runs(folder / "whole", folder / "parts", "step_60", "model.safetensors");
}

TEST_CASE("where every state is damaged, the newest one's fault is the message and nothing is moved", "[unit]") {
  TemporaryFolder folder;
  const TrainConfig config = read("gmm_mlp_small", kTinyMlp);
  train_into(folder / "a", config);
  for (const char* step : {"step_40", "step_60"}) fs::resize_file(folder / "a" / step / "ema.safetensors", 20);
  CHECK_THAT(message_of([&] { train_into(folder / "a", config, true); }), ContainsSubstring("step_60/ema.safetensors"));
  CHECK(fs::exists(folder / "a" / "step_40"));
  CHECK(fs::exists(folder / "a" / "step_60"));
}

TEST_CASE("SIGINT: the step is finished, saved, and the run goes on as if nothing had happened", "[unit]") {
  TemporaryFolder folder;
  const TrainConfig config = read("gmm_mlp_small", kTinyMlp);
  train_into(folder / "whole", config);
  request_interrupt();
  CHECK_THAT(message_of([&] { train_into(folder / "parts", config); }),
             ContainsSubstring("step 1 is saved; go on with --resume --output " + (folder / "parts").string()));
  CHECK_THROWS_AS(train_into(folder / "parts", config, true), Interrupted);
  CHECK(newest_train_state(folder / "parts") == folder / "parts" / "step_2");
  clear_interrupt();
  train_into(folder / "parts", config, true);
  require_equal_runs(folder / "whole", folder / "parts", "step_60", "model.safetensors");
}

TEST_CASE("steps may grow on resume; another key may not", "[unit]") {
  TemporaryFolder folder;
  TrainConfig config = read("gmm_mlp_small", kTinyMlp);
  train_into(folder / "a", config);
  config.steps = 70;
  CHECK(train_into(folder / "a", config, true).steps == 70);
  CHECK(newest_train_state(folder / "a")->filename() == "step_70");
  config.optimizer.beta1 = 0.8;
  CHECK_THROWS_AS(train_into(folder / "a", config, true), ConfigError);
  CHECK_THAT(message_of([&] { train_into(folder / "a", config, true); }), ContainsSubstring("optimizer.beta1 is 0.9 there and 0.8 now"));
}

TEST_CASE("only the newest states are kept", "[unit]") {
  TemporaryFolder folder;
  train_into(folder / "a", read("gmm_mlp_small", kTinyMlp));
  CHECK_FALSE(fs::exists(folder / "a" / "step_20"));
  CHECK(fs::exists(folder / "a" / "step_40"));
  CHECK(fs::exists(folder / "a" / "step_60"));
  CHECK(fs::exists(folder / "a" / "samples_60.svg"));
}

TEST_CASE("the noise loss falls, and the model folder can be read back", "[unit]") {
  TemporaryFolder folder;
  const TrainConfig config = read("gmm_mlp_small");
  const TrainSummary summary = train_into(folder / "a", config);
  CHECK(summary.final_loss < 0.62);  // predicting nothing costs 1, the exact score 0.483
  CHECK(summary.final_loss > 0.43);
  CHECK(summary.num_test_examples == 0);
  CHECK_NOTHROW(load_mlp_denoiser(folder / "a" / "model"));
  CHECK(read_scheduler_config(folder / "a" / "model").num_train_steps == 100);
}

TEST_CASE("a U-Net trains on shipped digits and is exported in fp16", "[unit]") {
  TemporaryFolder folder;
  const TrainConfig config = read("digits_prior_small", {"steps=3", "batch_size=4", "log_every=2", "num_grid_samples=2", "task.sampler.num_steps=2"});
  const TrainSummary summary = train_into(folder / "a", config);
  CHECK(summary.steps == 3);
  CHECK(fs::exists(folder / "a" / "samples_3.png"));
  const NamedTensors stored = load_safetensors(folder / "a" / "model" / "diffusion_pytorch_model.safetensors");
  CHECK(stored.at("conv_in.weight").scalar_type() == at::kHalf);
  CHECK_NOTHROW(load_unet2d(folder / "a" / "model"));
  const TrainConfig further = read("digits_prior_small", {"steps=1", "batch_size=4", "num_grid_samples=2", "task.sampler.num_steps=2",
                                                          "model.start_from=" + (folder / "a" / "model").string()});
  CHECK_NOTHROW(train_into(folder / "b", further));
}

TEST_CASE("a classifier learns the shipped digits", "[unit]") {
  TemporaryFolder folder;
  const TrainSummary summary = train_into(folder / "a", read("digits_guide_small"));
  CHECK(summary.num_test_examples == 1000);
  CHECK(summary.test_accuracy > 0.85);
  const auto classifier = load_classifier(folder / "a" / "model", at::kCPU);
  CHECK(classifier->num_classes() == 10);
}

TEST_CASE("a class folder trains a classifier and, flipped, a U-Net; a resumed run sees the same flips", "[unit]") {
  TemporaryFolder folder;
  for (const char* name : {"a", "b"}) {
    fs::create_directories(folder / "images" / name);
    for (int64_t i = 0; i < 4; ++i) {
      at::manual_seed(i);
      write_png(folder / "images" / name / (std::to_string(i) + ".png"), at::randint(name[0] == 'a' ? 100 : 256, {1, 32, 32}).to(at::kByte));
    }
  }
  const std::string data = R"(data={"type":"image_folder","horizontal_flips":true,"folder":")" + (folder / "images").string() + "\"}";
  const TrainSummary judged = train_into(folder / "judge", read("digits_guide_small", {data, "batch_size=8", "steps=2", "learning_rate.warmup_steps=0"}));
  CHECK(judged.num_test_examples == 8);
  CHECK(message_of([&] {
          require_fitting_classes(read("digits_guide_small", {data}), at::tensor({3, 11}, at::kLong));
        }) == "model.layout.num_classes is 10, but data.type image_folder has the classes 0..11: set it to 12");

  TrainConfig config =
      read("digits_prior_small", {data, "steps=4", "batch_size=4", "log_every=1", "checkpoint_every=2", "num_grid_samples=2", "task.sampler.num_steps=2"});
  train_into(folder / "whole", config);
  config.steps = 2;
  train_into(folder / "parts", config);
  config.steps = 4;
  train_into(folder / "parts", config, true);
  require_equal_files(folder / "whole/step_4/model.safetensors", folder / "parts/step_4/model.safetensors");
}

TEST_CASE("a video transformer learns a flow, resumes bit for bit, and becomes a folder that can be sampled and trained further", "[unit]") {
  TemporaryFolder folder;
  const std::vector<std::string> tiny = {"steps=40", "checkpoint_every=20", "num_grid_samples=2", "task.sampler.num_steps=2", "task.shift=4"};
  const TrainConfig config = read("moving_digits_teacher_small", tiny);
  const TrainSummary summary = train_into(folder / "whole", config);
  CHECK(summary.final_loss < 1.2);  // predicting nothing costs about 1.7
  CHECK(fs::exists(folder / "whole" / "samples_40.png"));
  CHECK(fs::exists(folder / "whole" / "samples_40.apng"));
  fs::create_directories(folder / "parts");
  fs::copy(folder / "whole", folder / "parts", fs::copy_options::recursive);
  for (const char* name : {"step_40", "model", "summary.json"}) remove_folder(folder / "parts" / name);
  train_into(folder / "parts", config, true);
  for (const char* file : {"model.safetensors", "ema.safetensors", "optimizer.safetensors"})
    require_equal_files(folder / "whole" / "step_40" / file, folder / "parts" / "step_40" / file);
  const VideoModel model = load_video_model(folder / "whole" / "model", "folder", at::kFloat, at::kCPU);
  CHECK(model.sample_shape == std::vector<int64_t>{1, 4, 32, 32});
  CHECK(model.scheduler.shift == 4);
  CHECK(model.text_encoder->encode(std::vector<std::string>{"a 3 moving up"}).sizes() == at::IntArrayRef({1, 4, 16}));
  std::vector<std::string> further = tiny;
  further.push_back("model.start_from=" + (folder / "whole" / "model").string());
  further.push_back("learning_rate.warmup_steps=1000000");
  TrainConfig next = read("moving_digits_teacher_small", further);
  CHECK(train_into(folder / "next", next).final_loss < summary.final_loss + 0.1);  // nearly no rate: what was learned is there
}

TEST_CASE("divergence stops the run, names the step and keeps the last good state", "[unit]") {
  TemporaryFolder folder;
  std::vector<std::string> assignments = kTinyMlp;
  TrainConfig config = read("gmm_mlp_small", assignments);
  config.steps = 20;
  train_into(folder / "a", config);
  // A weight that is not a number, as a bad step would leave it.
  const fs::path file = folder / "a" / "step_20" / "model.safetensors";
  NamedTensors weights = load_safetensors(file);
  for (auto& [name, tensor] : weights) tensor = tensor.clone();
  weights.begin()->second.fill_(std::nan(""));
  save_safetensors(file, weights);
  config.steps = 60;
  CHECK_THAT(
      message_of([&] { train_into(folder / "a", config, true); }),
      ContainsSubstring("training diverged: at step 21 the loss is nan") && ContainsSubstring("the last good state is " + (folder / "a" / "step_20").string()));
  CHECK(newest_train_state(folder / "a") == folder / "a" / "step_20");
}

TEST_CASE("a state of another model is refused with every mismatch; a half-written one is not seen", "[unit]") {
  TemporaryFolder folder;
  TrainConfig config = read("gmm_mlp_small", kTinyMlp);
  config.steps = 20;
  train_into(folder / "a", config);
  fs::create_directories(folder / "a" / "step_99.tmp");
  CHECK(newest_train_state(folder / "a")->filename() == "step_20");
  const fs::path file = folder / "a" / "step_20" / "ema.safetensors";
  NamedTensors tensors = load_safetensors(file);
  for (auto& [name, tensor] : tensors) tensor = tensor.clone();
  tensors.erase(tensors.begin());
  tensors["surplus"] = at::zeros({1});
  save_safetensors(file, tensors);
  CHECK_THAT(message_of([&] { train_into(folder / "a", config, true); }), ContainsSubstring("ema.safetensors: its tensors do not fit this model") &&
                                                                              ContainsSubstring("is missing") && ContainsSubstring("surplus is not a tensor"));
}

TEST_CASE("configs that do not fit together", "[unit]") {
  const auto refusal = [](const std::string& name, const std::vector<std::string>& assignments) {
    return message_of([&] { require_consistent(read(name, assignments)); });
  };
  CHECK_THAT(refusal("gmm_mlp", {R"(model={"type":"digit_judge"})"}),
             ContainsSubstring("task.type noise_prediction does not go with model.type digit_judge; noise is predicted by unet2d or mlp"));
  CHECK_THAT(refusal("digits_guide", {R"(model={"type":"unet2d"})"}), ContainsSubstring("classes are told apart by digit_classifier or digit_judge"));
  CHECK_THAT(refusal("gmm_mlp", {R"(model={"type":"unet2d"})"}),
             ContainsSubstring("model.type unet2d takes examples of shape [1, 32, 32], but data.type gaussian_mixture has [2]"));
  CHECK_THAT(refusal("digits_prior", {R"(model={"type":"mlp"})"}),
             ContainsSubstring("model.type mlp takes examples of shape [2], but data.type mnist has [1, 32, 32]"));
  CHECK_THAT(refusal("digits_prior", {"model.layout.in_channels=3"}), ContainsSubstring("takes examples of shape [3, 32, 32]"));
  CHECK_THAT(refusal("digits_guide", {R"(data={"type":"cifar10"})"}),
             ContainsSubstring("model.type digit_classifier takes examples of shape [1, 32, 32], but data.type cifar10 has [3, 32, 32]"));
  CHECK_THAT(refusal("digits_guide", {R"(data={"type":"checkerboard"})"}),
             ContainsSubstring("task.type classification needs labels, but data.type checkerboard has none"));
  CHECK_THAT(refusal("moving_digits_teacher_small", {R"(model={"type":"unet2d"})"}),
             ContainsSubstring("task.type flow_matching does not go with model.type unet2d; a flow is learned by video_dit"));
  CHECK_THAT(refusal("moving_digits_teacher_small", {"data.examples=frames"}),
             ContainsSubstring("task.type flow_matching learns from clips with captions, but data.type moving_digits with these examples has none"));
  CHECK_THAT(refusal("moving_digits_teacher_small", {"model.layout.patch_size=[3,4,4]"}),
             ContainsSubstring("model.type video_dit takes examples of shape [1, 3, 32, 32], but data.type moving_digits has [1, 4, 32, 32]"));
  for (const char* name :
       {"moving_digits_teacher", "moving_digits_teacher_small", "moving_digits_guide", "moving_digits_guide_steps", "moving_digits_judge", "digits_prior",
        "digits_guide", "digits_judge", "gmm_mlp", "checkerboard_mlp", "gmm_mlp_small", "digits_prior_small", "digits_guide_small", "cifar10_prior"})
    CHECK(refusal(name, {}) == "");
}

TEST_CASE("a batch larger than the data set, and more examples than there are", "[unit]") {
  TemporaryFolder folder;
  CHECK_THAT(message_of([&] { train_into(folder / "a", read("digits_guide_small", {"batch_size=1001"})); }),
             ContainsSubstring("batch_size is 1001, but data.type mnist holds 1000 examples (allowed 1..1000)"));
  CHECK_THAT(message_of([&] { train_into(folder / "b", read("digits_guide_small", {"data.num_examples=2000"})); }),
             ContainsSubstring("data.num_examples is 2000, but the MNIST split \"shipped\" holds 1000"));
}

TEST_CASE("no data folder: training says what to put where", "[unit]") {
  TemporaryFolder folder;
  const MissingData missing(folder / "nowhere");
  CHECK_THAT(message_of([&] { train_into(folder / "a", read("digits_guide")); }),
             ContainsSubstring("train-images-idx3-ubyte.gz: missing; put the four files of MNIST"));
  CHECK_FALSE(fs::exists(folder / "a"));
}

TEST_CASE("the estimate counts parameters and multiply-adds", "[unit]") {
  const CostEstimate mlp = estimate_cost(read("gmm_mlp"));
  // 66 -> 128 -> 128 -> 128 -> 128 -> 2, with biases
  const int64_t products = 66 * 128 + 3 * 128 * 128 + 128 * 2;
  CHECK(mlp.num_parameters == products + 4 * 128 + 2);
  CHECK(mlp.forward_flops == 2 * products);
  CHECK(mlp.state_bytes == 20 * mlp.num_parameters);
  const CostEstimate guide = estimate_cost(read("digits_guide"));
  CHECK(guide.forward_flops == 2 * (16 * 32 * 32 * 25 + 32 * 16 * 16 * 16 * 25 + 10 * 2048));
  const CostEstimate prior = estimate_cost(read("digits_prior"));
  CHECK(prior.num_parameters > 1000000);
  CHECK(prior.num_parameters < 1300000);
  CHECK_THAT(cost_table(read("digits_prior"), prior), ContainsSubstring("conv_in"));
}
