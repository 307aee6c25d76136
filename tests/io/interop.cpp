// Files that cross over to the reference Python packages and back. What they wrote is in tests/golden/io and
// tests/fuzz/seeds; what linden writes is read by them here, where python3 has them (PYTHONPATH may lead to them).
#include <ATen/ATen.h>

#include <catch2/catch_test_macros.hpp>

#include "core/files.h"
#include "io/event_log.h"
#include "io/hdf5.h"
#include "io/idx.h"
#include "io/npz.h"
#include "io/png.h"
#include "io/safetensors.h"
#include "tests/support/support.h"

using namespace linden;

namespace {

const std::filesystem::path kSeeds = "tests/fuzz/seeds";
constexpr int kPackageMissing = 4;

at::Tensor two_rows() { return at::arange(6, at::kFloat).reshape({2, 3}); }

at::Tensor pattern(int64_t channels) {
  const at::Tensor c = at::arange(channels, at::kLong).mul(53).view({-1, 1, 1});
  const at::Tensor y = at::arange(5, at::kLong).mul(37).view({1, -1, 1});
  const at::Tensor x = at::arange(7, at::kLong).mul(91).view({1, 1, -1});
  return (c + y + x).remainder(256).to(at::kByte);
}

// The reference package reads `file`, or the test case is skipped because python3 has no such package.
void expect_read_back(const std::string& kind, const std::filesystem::path& file) {
  const test::CommandResult result = test::run_shell("python3 tests/io/interop/read_back.py " + kind + " '" + file.string() + "'");
  if (result.exit_code == kPackageMissing || result.exit_code == 127) SKIP("python3 has no package that reads " + kind + ": " + result.output);
  INFO(result.output);
  CHECK(result.exit_code == 0);
}

}  // namespace

TEST_CASE("the safetensors package reads what linden writes", "[golden]") {
  const test::TemporaryFolder folder;
  save_safetensors(folder / "a.safetensors",
                   {{"float", two_rows()},
                    {"bfloat", two_rows().to(at::kBFloat16)},
                    {"long", at::tensor({INT64_MAX, int64_t{-1}}, at::kLong)},
                    {"scalar", at::scalar_tensor(2.5)},
                    {"empty", at::empty({0, 3})}},
                   {{"note", "größe"}});
  expect_read_back("safetensors", folder / "a.safetensors");
}

TEST_CASE("h5py reads what linden writes", "[golden]") {
  const test::TemporaryFolder folder;
  Hdf5Writer writer(folder / "a.h5");
  writer.write("samples", two_rows());
  writer.write("tree/parent", at::tensor({-1, 0, 0}, at::kInt));
  writer.write("tree/large", at::arange(300'000, at::kLong));
  writer.attribute("method", std::string("größe"));
  writer.attribute("seed", int64_t{-7});
  writer.attribute("scale", 0.125);
  writer.close();
  expect_read_back("hdf5", folder / "a.h5");
}

TEST_CASE("numpy reads what linden writes", "[golden]") {
  const test::TemporaryFolder folder;
  write_npz(folder / "a.npz", {{"float", two_rows()},
                               {"bool", at::tensor({1, 0}, at::kByte).to(at::kBool)},
                               {"scalar", at::scalar_tensor(2.5, at::kDouble)},
                               {"empty", at::empty({0, 3})}});
  expect_read_back("npz", folder / "a.npz");
}

TEST_CASE("Pillow reads what linden writes", "[golden]") {
  const test::TemporaryFolder folder;
  for (const int64_t channels : {1, 3}) {
    write_png(folder / "a.png", pattern(channels), {{"seed", "7"}, {"note", "größe"}});
    expect_read_back("png", folder / "a.png");
  }
}

TEST_CASE("TensorBoard reads what linden writes", "[golden]") {
  const test::TemporaryFolder folder;
  {
    EventLog log(folder.path);
    log.scalar(0, "loss", 2.5);
    log.image(5, "samples", encode_png(pattern(3)), 5, 7);
    log.scalar(7, "größe", -1);
  }
  expect_read_back("events", std::filesystem::directory_iterator(folder.path)->path());
}

TEST_CASE("gzip and a plain reader read the IDX files that linden writes", "[golden]") {
  const test::TemporaryFolder folder;
  for (const bool gzip : {false, true}) {
    write_idx(folder / "a-idx2-ubyte", two_rows().to(at::kByte), gzip);
    expect_read_back("idx", folder / "a-idx2-ubyte");
  }
}

TEST_CASE("an event file of TensorBoard's writer is read", "[golden]") {
  const auto events = read_scalar_events(kSeeds / "events.out.tfevents.seed");
  REQUIRE(events.size() == 6);
  const double losses[] = {0.5, -2.0, static_cast<double>(1e30f)};
  for (size_t i = 0; i < events.size(); ++i) {
    CHECK(events[i].step == static_cast<int64_t>(i / 2));
    CHECK(events[i].tag == (i % 2 == 0 ? "loss" : "größe"));
    CHECK(events[i].value == (i % 2 == 0 ? losses[i / 2] : static_cast<double>(i / 2)));
  }
}

TEST_CASE("h5py's files of the oldest and of the newer format are read", "[golden]") {
  CHECK(at::equal(Hdf5Reader(kSeeds / "samples.h5").read("samples"), at::arange(24, at::kFloat).reshape({2, 1, 3, 4})));
  CHECK(at::equal(Hdf5Reader(kSeeds / "chunked.h5").read("samples"), at::arange(60, at::kFloat).reshape({5, 12})));
  const Hdf5Reader newer(kSeeds / "v110.h5");
  CHECK(at::equal(newer.read("samples"), at::arange(24, at::kFloat).reshape({2, 12})));
  CHECK(at::equal(newer.read("growing"), at::arange(6, at::kLong)));
  CHECK(at::equal(newer.read("group/labels"), at::arange(3, at::kByte)));
  CHECK(newer.text_attribute("method") == "dts");
}

TEST_CASE("npy files of numpy are read: column order, version 2.0, a scalar", "[golden]") {
  const auto read = [](const char* name) { return parse_npy(read_text_file(kSeeds / name), name); };
  CHECK(at::equal(read("counting.npy"), two_rows()));
  CHECK(at::equal(read("column_major.npy"), at::arange(24, at::kLong).reshape({2, 3, 4})));
  CHECK(at::equal(read("version_2.npy"), at::arange(5, at::kByte)));
  CHECK(at::equal(read("scalar.npy"), at::scalar_tensor(7, at::kDouble)));
}
