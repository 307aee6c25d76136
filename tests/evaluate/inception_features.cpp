// Inception features in an evaluation: pytorch-fid's own statistics files and distance, and what does not fit.
#include <ATen/ATen.h>

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>

#include "core/config.h"
#include "core/error.h"
#include "evaluate/distances.h"
#include "evaluate/evaluation.h"
#include "evaluate/statistics_file.h"
#include "io/hdf5.h"
#include "io/npz.h"
#include "models/image_classifier.h"
#include "tests/support/support.h"

using namespace linden;
using Catch::Approx;
using linden::test::message_of;
using linden::test::TemporaryFolder;

namespace {

constexpr const char* kGolden = "tests/golden/evaluate/fid";

// Written by scripts/golden/make_inception.py: weights formula:7, 64 features.
EvaluateConfig golden_config() {
  EvaluateConfig config;
  config.samples.path = std::string(kGolden) + "/a";
  config.features = InceptionFeaturesConfig{"formula:7", 64};
  config.metrics = {"frechet_distance"};
  return config;
}

double largest(const at::Tensor& tensor) { return tensor.abs().max().item<double>(); }

}  // namespace

TEST_CASE("PNG folders against pytorch-fid's statistics give pytorch-fid's distance", "[golden]") {
  const TemporaryFolder folder;
  double expected = 0;
  for (const JsonScalar& scalar : flatten_json(std::string(kGolden) + "/fid.json")) {
    if (scalar.path == "fid") expected = scalar.number;
  }
  EvaluateConfig config = golden_config();
  config.reference.path = std::string(kGolden) + "/b_64.npz";
  config.save_statistics = (folder / "a.npz").string();
  config.batch_size = 5;
  const EvaluateSummary summary = evaluate(config, at::kCPU);
  CHECK(summary.features == "Inception 64 (formula:7)");
  CHECK(summary.num_features == 64);
  CHECK(describe_summary(summary).find("  frechet_distance, Inception 64 (formula:7) features ") != std::string::npos);
  // The network runs in fp32 on both sides; 12 samples leave 52 of 64 eigenvalues at rounding's level.
  CHECK(summary.metric("frechet_distance") == Approx(expected).epsilon(1e-5));

  const Moments theirs = read_statistics(std::string(kGolden) + "/a_64.npz").moments;
  const FeatureStatistics ours = read_statistics(folder / "a.npz");
  CHECK(ours.features == "Inception 64 (formula:7)");
  CHECK(ours.moments.count == 12);
  CHECK(largest(ours.moments.mean - theirs.mean) < 1e-6 * largest(theirs.mean));
  CHECK(largest(ours.moments.covariance - theirs.covariance) < 1e-5 * largest(theirs.covariance));
  // On the same statistics the formulas agree: pytorch-fid's matrix root and our eigenvalues.
  CHECK(frechet_distance(theirs, read_statistics(std::string(kGolden) + "/b_64.npz").moments) == Approx(expected).epsilon(1e-6));
}

TEST_CASE("samples as floats and as PNG files have the same Inception features", "[unit]") {
  const TemporaryFolder folder;
  EvaluateConfig config = golden_config();
  config.metrics = {"diversity"};
  config.samples.limit = 3;
  const double from_png = evaluate(config, at::kCPU).metric("diversity");
  const at::Tensor pixels = SampleSet(config.samples).batch(0, 3);
  at::manual_seed(1);
  Hdf5Writer writer(folder / "a.h5");
  writer.write("samples", pixels + (at::rand_like(pixels) - 0.5) * (0.9 / 127.5));  // less than half a step of a byte
  writer.close();
  config.samples.path = (folder / "a.h5").string();
  CHECK(evaluate(config, at::kCPU).metric("diversity") == Approx(from_png).epsilon(1e-9));
}

TEST_CASE("Inception features and what does not fit", "[unit]") {
  const TemporaryFolder folder;
  EvaluateConfig config = golden_config();
  config.metrics = {};
  const auto message = [&] { return message_of([&] { evaluate(config, at::kCPU); }); };
  SECTION("statistics of another layer") {
    config.features = InceptionFeaturesConfig{"formula:7", 192};
    config.reference.path = std::string(kGolden) + "/b_64.npz";
    CHECK(message() == config.reference.path +
                           ": statistics of 64 features, but Inception 192 (formula:7) makes 192: choose the network and the layer that they "
                           "were made with (pytorch-fid's default is Inception 2048)");
  }
  SECTION("statistics of another network that has as many features") {
    write_statistics(folder / "judge.npz", {{10, at::zeros({64}, at::kDouble), at::eye(64, at::kDouble)}, "DigitJudge"});
    config.reference.path = (folder / "judge.npz").string();
    CHECK(message() == config.reference.path +
                           ": statistics of DigitJudge features, but those of the samples are Inception 64 (formula:7): distances between "
                           "them mean nothing");
  }
  SECTION("a layer that does not exist") {
    config.features = InceptionFeaturesConfig{"formula:7", 100};
    CHECK(message() == "features.dims is 100, but Inception has layers of 64, 192, 768, 2048 features");
  }
  SECTION("no weights") {
    config.features = InceptionFeaturesConfig{};
    CHECK(message() ==
          "features.file is empty: give the Inception weights as .safetensors (scripts/convert_inception makes them from pytorch-fid's file), "
          "or choose features.type \"classifier\"");
    config.features = InceptionFeaturesConfig{(folder / "w.pth").string(), 64};
    CHECK(message().starts_with((folder / "w.pth").string() + ": a PyTorch pickle, which linden does not read. Turn it into safetensors once: "));
  }
  SECTION("points") {
    write_npz(folder / "points.npz", {{"samples", at::zeros({5, 2})}});
    config.samples.path = (folder / "points.npz").string();
    CHECK(message() == "features: Inception reads images [S, 1 or 3, Y, X], but the samples are [S, 2]; choose features.type \"raw\" or \"classifier\"");
  }
}

TEST_CASE("Inception features leave the classes to the classifier", "[unit]") {
  const TemporaryFolder folder;
  at::manual_seed(5);
  make_classifier("DigitJudge")->save(folder / "judge", at::kFloat);
  {
    Hdf5Writer writer(folder / "a.h5");
    writer.write("samples", at::rand({2, 1, 32, 32}));
    writer.close();
  }
  EvaluateConfig config = golden_config();
  config.samples.path = (folder / "a.h5").string();
  config.metrics = {"diversity", "confident_share"};
  config.classifier = (folder / "judge").string();
  const EvaluateSummary summary = evaluate(config, at::kCPU);
  CHECK(summary.features == "Inception 64 (formula:7)");
  CHECK(summary.classifier == "DigitJudge");
  CHECK(describe_summary(summary).find("  confident_share, read by DigitJudge ") != std::string::npos);
}
