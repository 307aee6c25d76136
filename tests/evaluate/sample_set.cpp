// Sample sets of class folders and of CIFAR-10, and what a published classifier says of the latter.
#include "evaluate/sample_set.h"

#include <ATen/ATen.h>

#include <catch2/catch_test_macros.hpp>

#include "core/error.h"
#include "core/files.h"
#include "data/cifar.h"
#include "data/digits.h"
#include "evaluate/evaluation.h"
#include "io/archive.h"
#include "io/png.h"
#include "tests/support/support.h"

using namespace linden;
using linden::test::message_of;
using linden::test::TemporaryFolder;

namespace {

SampleSetConfig at_path(const std::filesystem::path& path) {
  SampleSetConfig config;
  config.path = path.string();
  return config;
}

}  // namespace

TEST_CASE("class folders give labels, which classes and limit keep in step with the files", "[unit]") {
  TemporaryFolder folder;
  int64_t value = 0;
  for (const char* name : {"a/0.png", "a/1.png", "b/0.png", "c/0.png", "c/1.png"}) {
    std::filesystem::create_directories((folder / name).parent_path());
    write_png(folder / name, at::full({3, 2, 2}, value += 10, at::kByte));
  }
  SampleSetConfig config = at_path(folder.path);
  const SampleSet all(config);
  CHECK(all.size() == 5);
  CHECK(at::equal(all.labels(), at::tensor({0, 0, 1, 2, 2}, at::kLong)));
  config.classes = {0, 2};
  config.limit = 3;
  const SampleSet kept(config);
  CHECK(at::equal(kept.labels(), at::tensor({0, 0, 2}, at::kLong)));
  const at::Tensor bytes = (kept.batch(0, 3).select(1, 0).select(1, 0).select(1, 0) + 1) * 127.5;
  CHECK(at::allclose(bytes, at::tensor({10.f, 20.f, 40.f})));
  write_file_atomically(folder / "SHA256SUMS", std::string(64, '0') + "  a/0.png\n");
  CHECK(message_of([&] { SampleSet set(config); }).starts_with((folder / "a/0.png").string() + ": its SHA-256 is "));
}

TEST_CASE("CIFAR-10's test batch by name", "[e2e]") {
  if (!std::filesystem::exists(cifar10_folder())) SKIP("no cifar10/ in the data folder (LINDEN_DATA)");
  if (archive_library().empty() && !std::filesystem::exists(cifar10_folder() / "test_batch.bin"))
    SKIP("built without libarchive, and CIFAR-10 is not unpacked");
  SampleSetConfig config = at_path("cifar10_test");
  config.classes = {3};
  const SampleSet set(config);
  CHECK(set.size() == 1000);
  CHECK(set.shape() == std::vector<int64_t>{3, 32, 32});
  CHECK(set.batch(0, 10).min().item<float>() >= -1.0f);
  CHECK(set.batch(0, 1000).max().item<float>() == 1.0f);
}

// All 10,000 give the published 91.73 % (docs/data.md); of the first 2,000 the reference network of
// akamaster/pytorch_resnet_cifar10 gets 1,833 right.
TEST_CASE("the published ResNet-20 reads CIFAR-10's test images as its authors' code does", "[e2e]") {
  const std::filesystem::path weights = data_folder() / "weights/cifar10_resnet/resnet20.safetensors";
  if (!std::filesystem::exists(cifar10_folder()) || !std::filesystem::exists(weights)) SKIP("no cifar10/ or no " + weights.string());
  if (archive_library().empty() && !std::filesystem::exists(cifar10_folder() / "test_batch.bin"))
    SKIP("built without libarchive, and CIFAR-10 is not unpacked");
  EvaluateConfig config;
  config.samples = at_path("cifar10_test");
  config.samples.limit = 2000;
  config.classifier = weights.string();
  config.metrics = {"accuracy"};
  const EvaluateSummary summary = evaluate(config, at::kCPU);
  CHECK(summary.features == "CifarResNet");
  CHECK(summary.metric("accuracy") == 1833.0 / 2000);
}
