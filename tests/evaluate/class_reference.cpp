// Samples in memory against real samples of chosen classes.
#include <ATen/ATen.h>

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>

#include "core/error.h"
#include "evaluate/class_reference.h"
#include "evaluate/distances.h"
#include "io/hdf5.h"
#include "models/image_classifier.h"
#include "tests/support/support.h"

using namespace linden;
using Catch::Approx;
using linden::test::message_of;
using linden::test::TemporaryFolder;

TEST_CASE("moments of chosen classes under a classifier are kept in memory", "[unit]") {
  TemporaryFolder folder;
  at::manual_seed(3);
  const at::Tensor images = at::rand({30, 1, 32, 32}) * 2 - 1, labels = at::arange(30).remainder(3);
  {
    Hdf5Writer writer(folder / "real.h5");
    writer.write("samples", images);
    writer.write("labels", labels);
    writer.close();
  }
  std::shared_ptr<ImageClassifier> judge = make_classifier("DigitJudge");
  ClassReference reference(judge, at::kCPU);
  SampleSetConfig ones;
  ones.path = (folder / "real.h5").string();
  ones.classes = {1};
  const at::Tensor real = images.index_select(0, labels.eq(1).nonzero().flatten());
  const at::Tensor samples = images.narrow(0, 0, 12);
  const double expected = frechet_distance(moments_of(reference.features(real)), moments_of(reference.features(samples)));
  CHECK(reference.moments(ones).count == 10);
  CHECK(reference.frechet_distance(samples, ones) == Approx(expected).epsilon(1e-12));
  CHECK(reference_moments(ones, *judge, at::kCPU).mean.equal(reference.moments(ones).mean));

  std::filesystem::remove(folder / "real.h5");
  CHECK(reference.frechet_distance(samples, ones) == Approx(expected).epsilon(1e-12));  // from memory
  ones.classes = {2};
  CHECK(message_of([&] { reference.moments(ones); }).starts_with(ones.path + ": there is nothing of that name"));
}

TEST_CASE("a classifier's reference must be images", "[unit]") {
  TemporaryFolder folder;
  {
    Hdf5Writer writer(folder / "points.h5");
    writer.write("samples", at::zeros({5, 2}));
    writer.close();
  }
  SampleSetConfig points;
  points.path = (folder / "points.h5").string();
  ClassReference reference(make_classifier("DigitJudge"), at::kCPU);
  CHECK(message_of([&] { reference.moments(points); }) == points.path + ": a classifier reads images [S, C, Y, X], but these samples are [S, 2]");
}
