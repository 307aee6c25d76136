// linden evaluate's core: sample sets from every kind of place, metrics by name, bad input.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/nn/module.h>

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <fstream>
#include <iterator>
#include <limits>

#include "core/config.h"
#include "core/error.h"
#include "core/logging.h"
#include "evaluate/distances.h"
#include "evaluate/evaluation.h"
#include "evaluate/statistics_file.h"
#include "io/hdf5.h"
#include "io/npz.h"
#include "io/png.h"
#include "models/image_classifier.h"
#include "tests/support/support.h"

using namespace linden;
using Catch::Approx;
using linden::test::message_of;
using linden::test::TemporaryFolder;

namespace {

void write_set(const std::filesystem::path& file, const at::Tensor& samples, const at::Tensor& labels = {}, const at::Tensor& rewards = {}) {
  Hdf5Writer writer(file);
  writer.write("samples", samples);
  if (labels.defined()) writer.write("labels", labels);
  if (rewards.defined()) writer.write("reward", rewards);
  writer.close();
}

at::Tensor images(int64_t count, int64_t seed) {
  at::manual_seed(seed);
  return at::rand({count, 1, 4, 4}) * 2 - 1;
}

std::string text_of(const std::filesystem::path& file) {
  std::ifstream in(file);
  return {std::istreambuf_iterator<char>(in), {}};
}

SampleSetConfig at_path(const std::filesystem::path& path) {
  SampleSetConfig config;
  config.path = path.string();
  return config;
}

}  // namespace

TEST_CASE("sample sets: HDF5, run folders, npz, PNG folders", "[unit]") {
  TemporaryFolder folder;
  const at::Tensor samples = images(6, 1);
  write_set(folder / "samples.h5", samples, at::tensor({0, 1, 2, 0, 1, 2}, at::kLong), at::arange(6, at::kDouble));
  SECTION("a run folder is its samples.h5") {
    const SampleSet set(at_path(folder.path));
    CHECK(set.size() == 6);
    CHECK(set.shape() == std::vector<int64_t>{1, 4, 4});
    CHECK(at::equal(set.batch(2, 3), samples.narrow(0, 2, 3)));
    CHECK(at::equal(set.rewards(), at::arange(6, at::kDouble)));
  }
  SECTION("classes and a limit") {
    SampleSetConfig config = at_path(folder / "samples.h5");
    config.classes = {1, 2};
    config.limit = 3;
    const SampleSet set(config);
    CHECK(at::equal(set.batch(0, 3), samples.index_select(0, at::tensor({1, 2, 4}, at::kLong))));
    CHECK(at::equal(set.labels(), at::tensor({1, 2, 1}, at::kLong)));
    CHECK(at::equal(set.rewards(), at::tensor({1, 2, 4}, at::kDouble)));
    config.classes = {7};
    CHECK(message_of([&] { SampleSet bad(config); }) == (folder / "samples.h5").string() + ": no sample left of the classes 7");
  }
  SECTION("npz with bytes, channels last") {
    const at::Tensor bytes = at::arange(2 * 5 * 4 * 3).reshape({2, 5, 4, 3}).to(at::kByte);
    write_npz(folder / "a.npz", {{"arr_0", bytes}});
    SampleSetConfig config = at_path(folder / "a.npz");
    CHECK(message_of([&] { SampleSet bad(config); }) == (folder / "a.npz").string() + ": no array \"samples\"; it holds: arr_0 (choose with \"dataset\")");
    config.dataset = "arr_0";
    const SampleSet set(config);
    CHECK(set.shape() == std::vector<int64_t>{3, 5, 4});
    CHECK(at::allclose(set.batch(0, 2), bytes.permute({0, 3, 1, 2}).to(at::kFloat) / 127.5 - 1));
  }
  SECTION("a folder of PNG files, in the order of their names") {
    std::filesystem::create_directories(folder / "png");
    const at::Tensor first = at::arange(48).reshape({3, 4, 4}).to(at::kByte);
    write_png(folder / "png/b.png", first + 1);
    write_png(folder / "png/a.png", first);
    const SampleSet set(at_path(folder / "png"));
    CHECK(set.size() == 2);
    CHECK(at::allclose(set.batch(0, 1)[0], first.to(at::kFloat) / 127.5 - 1));
    write_png(folder / "png/c.png", at::zeros({3, 4, 5}, at::kByte));
    const SampleSet mixed(at_path(folder / "png"));
    CHECK(message_of([&] { mixed.batch(0, 3); }) ==
          (folder / "png/c.png").string() + ": this image is [3, 4, 5], but a.png is [3, 4, 4]: all images of a folder must have one size");
  }
  SECTION("nothing there") {
    CHECK(message_of([&] { SampleSet bad(at_path(folder / "none")); }) ==
          (folder / "none").string() +
              ": there is nothing of that name; give a run folder, an .h5 or .npz file, a folder of PNG files, or mnist_train, mnist_test, mnist_test_1000, "
              "cifar10_train, cifar10_test");
    std::filesystem::create_directories(folder / "empty");
    CHECK(message_of([&] { SampleSet bad(at_path(folder / "empty")); }) ==
          (folder / "empty").string() + ": no PNG file in this folder or in class folders below it");
    write_set(folder / "flat.h5", at::zeros({5}));
    CHECK(message_of([&] { SampleSet bad(at_path(folder / "flat.h5")); }) ==
          (folder / "flat.h5").string() + ": \"samples\" has shape [5], wanted [S, C, Y, X] or [S, D]");
    SampleSetConfig unlabelled = at_path(folder / "flat2.h5");
    write_set(folder / "flat2.h5", at::zeros({5, 2}));
    unlabelled.classes = {1};
    CHECK(message_of([&] { SampleSet bad(unlabelled); }) ==
          (folder / "flat2.h5").string() + ": classes are asked for, but the samples have no labels (no array \"labels\")");
  }
}

TEST_CASE("evaluation on pixels", "[unit]") {
  TemporaryFolder folder;
  const at::Tensor samples = at::cat({images(60, 2), images(1, 2)}), real = images(80, 3);  // the last repeats the first
  write_set(folder / "a.h5", samples, {}, at::arange(61, at::kDouble));
  write_set(folder / "b.h5", real);
  EvaluateConfig config;
  config.samples = at_path(folder / "a.h5");
  config.reference = at_path(folder / "b.h5");
  const EvaluateSummary summary = evaluate(config, at::kCPU);
  CHECK(summary.features == "pixel");
  CHECK(summary.num_samples == 61);
  CHECK(summary.num_features == 16);
  CHECK(summary.metric("frechet_distance") == Approx(frechet_distance(moments_of(samples.flatten(1)), moments_of(real.flatten(1)))).epsilon(1e-12));
  CHECK(summary.metric("mmd_rbf_five") == Approx(mmd_rbf_five(samples.flatten(1), real.flatten(1))));
  CHECK(summary.metric("num_duplicates") == 1);
  CHECK(summary.metric("reward_mean") == 30);
  CHECK(std::isnan(summary.metric("class_share")));  // nothing was asked for: not measured, not an error
  CHECK(summary.metric("cmmd") == Approx(cmmd(samples.flatten(1), real.flatten(1))));
  for (const char* name : {"frechet_distance", "kid", "mmd_rbf", "mmd_rbf_five", "cmmd", "precision", "recall", "diversity"}) {
    CHECK(describe_summary(summary).find(std::string("  ") + name + ", pixel features ") != std::string::npos);
  }

  SECTION("no result depends on the batch") {
    config.batch_size = 7;
    const EvaluateSummary again = evaluate(config, at::kCPU);
    REQUIRE(again.metrics.size() == summary.metrics.size());
    for (size_t i = 0; i < summary.metrics.size(); ++i) CHECK(again.metrics[i] == summary.metrics[i]);
  }
  SECTION("the Frechet distance alone") {
    config.metrics = {"frechet_distance"};
    const EvaluateSummary alone = evaluate(config, at::kCPU);
    CHECK(alone.metrics.size() == 1);
    CHECK(alone.metric("frechet_distance") == summary.metric("frechet_distance"));
  }
  SECTION("statistics in place of samples") {
    EvaluateConfig save = config;
    save.samples = config.reference;
    save.reference = {};
    save.metrics = {"diversity"};
    save.save_statistics = (folder / "b.npz").string();
    evaluate(save, at::kCPU);
    config.reference.path = save.save_statistics;
    const EvaluateSummary from_statistics = evaluate(config, at::kCPU);
    CHECK(from_statistics.metric("frechet_distance") == Approx(summary.metric("frechet_distance")).epsilon(1e-12));
    CHECK(std::isnan(from_statistics.metric("kid")));
    config.metrics = {"kid"};
    CHECK(message_of([&] { evaluate(config, at::kCPU); }) ==
          "metrics: kid needs reference samples, and reference.path holds statistics only (mu, sigma); give it, or leave the metric out");
  }
  SECTION("fewer samples than features are warned of") {
    const int64_t before = warnings_logged();
    log_to_folder(folder.path);
    config.samples.limit = 10;
    evaluate(config, at::kCPU);
    log_to_folder({});
    CHECK(warnings_logged() == before + 1);
    CHECK(text_of(folder / "log.txt")
              .find("samples: 10 samples for 16 features: the covariance is singular, and the Frechet distance depends "
                    "on the number of samples; compare at equal numbers only") != std::string::npos);
  }
  SECTION("a metric that the samples do not allow is written down, and the others are kept") {
    config.samples.limit = 3;
    const int64_t before = warnings_logged();
    const EvaluateSummary few = evaluate(config, at::kCPU);
    const std::string reason = "precision and recall with k = 3 need more than 3 samples on each side, got 80 real and 3 generated";
    REQUIRE(few.not_measured.size() == 1);
    CHECK(few.not_measured.front() == std::pair<std::string, std::string>("precision_recall", reason));
    CHECK(warnings_logged() == before + 2);  // and the singular covariance
    CHECK(std::isnan(few.metric("precision")));
    CHECK(few.metric("reward_mean") == 1);
    CHECK(few.metric("frechet_distance") > 0);
    CHECK(to_json(few).find("\"precision_recall\": \"precision and recall with k = 3") != std::string::npos);
    CHECK(describe_summary(few).find("not measured: " + reason) != std::string::npos);
    config.metrics = {"precision_recall"};
    CHECK(message_of([&] { evaluate(config, at::kCPU); }) == "nothing could be measured. precision_recall: " + reason);
    config.metrics = {};
    config.samples.limit = 1;
    const EvaluateSummary one = evaluate(config, at::kCPU);
    CHECK(one.metric("reward_mean") == 0);
    CHECK(std::isnan(one.metric("frechet_distance")));
  }
  SECTION("bad input") {
    config.metrics = {"frechet_distanse"};
    CHECK(message_of([&] {
            evaluate(config, at::kCPU);
          }).starts_with("metrics: unknown metric \"frechet_distanse\", the nearest one is \"frechet_distance\"; there are: "));
    config.metrics = {"class_share"};
    CHECK(message_of([&] { evaluate(config, at::kCPU); }) == "metrics: class_share needs a classifier (classifier); give it, or leave the metric out");
    config.metrics = {"frechet_distance"};
    config.reference.path = "";
    CHECK(message_of([&] { evaluate(config, at::kCPU); }) == "metrics: frechet_distance needs a reference (reference.path); give it, or leave the metric out");
    write_set(folder / "c.h5", at::zeros({5, 1, 4, 5}));
    config.reference.path = (folder / "c.h5").string();
    CHECK(message_of([&] { evaluate(config, at::kCPU); }) == "the samples are [1, 4, 4] each, the reference is [1, 4, 5]: they must have one shape");
    at::Tensor broken = samples.clone();
    broken[3].fill_(std::numeric_limits<float>::quiet_NaN());
    write_set(folder / "d.h5", broken);
    config.samples.path = (folder / "d.h5").string();
    config.reference.path = (folder / "b.h5").string();
    CHECK(message_of([&] { evaluate(config, at::kCPU); }) == "samples: the values of sample 3 (counted from 0) hold NaN or infinity");
  }
}

TEST_CASE("evaluation under a classifier names its features", "[unit]") {
  TemporaryFolder folder;
  at::manual_seed(5);
  const auto classifier = make_classifier("DigitJudge");
  classifier->save(folder / "judge", at::kFloat);
  at::manual_seed(6);
  const at::Tensor samples = at::rand({12, 1, 32, 32}) * 2 - 1;
  write_set(folder / "a.h5", samples, at::zeros({12}, at::kLong));
  EvaluateConfig config;
  config.samples = at_path(folder / "a.h5");
  config.classifier = (folder / "judge").string();
  config.asked = {0, 2, 4, 6, 8};
  const EvaluateSummary summary = evaluate(config, at::kCPU);
  CHECK(summary.features == "DigitJudge");
  const at::NoGradGuard no_grad;
  const at::Tensor read = classifier->logits(samples).argmax(1);
  CHECK(summary.metric("class_share") == Approx(read.remainder(2).eq(0).to(at::kDouble).mean().item<double>()));
  CHECK(summary.metric("accuracy") == Approx(read.eq(0).to(at::kDouble).mean().item<double>()));
  const std::string text = describe_summary(summary);
  CHECK(text.find("  diversity, DigitJudge features ") != std::string::npos);
  CHECK(text.find("  class_share, read by DigitJudge ") != std::string::npos);
  config.features = RawFeaturesConfig{};
  CHECK(evaluate(config, at::kCPU).features == "pixel");
  CHECK(evaluate(config, at::kCPU).metric("class_share") == summary.metric("class_share"));
  config.features = ClassifierFeaturesConfig{};
  const std::string json = to_json(summary);
  CHECK(json.find("\"features\": \"DigitJudge\"") != std::string::npos);
  CHECK(json.find("\"class_share\"") != std::string::npos);
  config.asked = {11};
  CHECK(message_of([&] { evaluate(config, at::kCPU); }) == "asked: class 11, but the classifier " + config.classifier + " has the classes 0..9");
}

TEST_CASE("features that are not numbers are refused, with the sample", "[unit]") {
  TemporaryFolder folder;
  const auto classifier = make_classifier("DigitJudge");
  {
    const at::NoGradGuard no_grad;
    for (at::Tensor& parameter : classifier->module().parameters()) parameter.fill_(std::numeric_limits<float>::infinity());
  }
  classifier->save(folder / "judge", at::kFloat);
  write_set(folder / "a.h5", at::rand({3, 1, 32, 32}));
  EvaluateConfig config;
  config.samples = at_path(folder / "a.h5");
  config.classifier = (folder / "judge").string();
  CHECK(message_of([&] { evaluate(config, at::kCPU); }) ==
        "samples: the features of sample 0 (counted from 0) hold NaN or infinity, and those of 2 more of its batch");
}

TEST_CASE("pytorch-fid's statistics files are checked", "[unit]") {
  TemporaryFolder folder;
  const auto message = [&](const NpzArrays& arrays) {
    write_npz(folder / "s.npz", arrays);
    return message_of([&] { read_statistics(folder / "s.npz"); });
  };
  const std::string file = (folder / "s.npz").string();
  CHECK(message({{"mu", at::zeros({3})}}) == file + ": no statistics: wanted the arrays \"mu\" [F] and \"sigma\" [F, F]");
  CHECK(message({{"mu", at::zeros({3})}, {"sigma", at::zeros({3, 4})}}) == file + ": \"mu\" is [3] and \"sigma\" is [3, 4], wanted [F] and [F, F]");
  CHECK(message({{"mu", at::full({1}, NAN)}, {"sigma", at::zeros({1, 1})}}) == file + ": the statistics hold NaN or infinity");
  CHECK(message({{"mu", at::zeros({2})}, {"sigma", at::ones({2, 2}).triu()}}) == file + ": \"sigma\" is not symmetric, so it is no covariance");
  CHECK(message({{"mu", at::zeros({2})}, {"sigma", -at::eye(2)}}) == file + ": \"sigma\" has the eigenvalue -1, so it is no covariance");
}

TEST_CASE("images and labels that cannot be what they are called are refused", "[unit]") {
  TemporaryFolder folder;
  const std::string file = (folder / "s.h5").string();
  write_set(file, at::zeros({3, 1, 4, 4}, at::kLong));
  CHECK(message_of([&] { SampleSet bad(at_path(file)); }) == file + ": \"samples\" holds images as Long, wanted uint8, or floats in [-1, 1]");
  write_set(file, at::zeros({3, 1, 4, 4}), at::tensor({0.5, 1.0, 2.0}));
  CHECK(message_of([&] { SampleSet bad(at_path(file)); }) == file + ": \"labels\" holds fractions, wanted whole numbers of classes");
}
