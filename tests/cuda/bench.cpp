// The clock of the benchmarks on a card: memory by a call of known size, time by work of known ratio; both commands in small.
#include "core/files.h"
#include "experiment/bench_attention_cases.h"

#include <ATen/ATen.h>

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "experiment/bench_card.h"
#include "experiment/bench_stages.h"
#include "nn/stage.h"
#include "tests/support/support.h"

using namespace linden;
using namespace linden::test;
using Catch::Approx;
using Catch::Matchers::ContainsSubstring;

TEST_CASE("bench: workspace is what a call holds beyond its outputs, and time grows with the bytes", "[cuda]") {
  if (!at::hasCUDA()) SKIP("no CUDA device");
  const at::TensorOptions bytes = at::TensorOptions().dtype(at::kByte).device(at::Device(at::kCUDA, 0));
  const DeviceClock clock(bytes.device(), 20);
  const CallTiming timing = clock.time([&](int64_t) {
    const at::Tensor scratch = at::empty({64 << 20}, bytes);
    return std::vector<at::Tensor>{at::empty({16 << 20}, bytes)};
  });
  CHECK(timing.workspace_mb == Approx(67.1).epsilon(0.01));
  CHECK(timing.repeats == 20);
  const auto fill = [&](int64_t megabytes) {
    const at::Tensor x = at::empty({megabytes << 20}, bytes);
    return clock.time([&](int64_t) { return std::vector<at::Tensor>{x.fill_(1)}; }).us;
  };
  CHECK(fill(4096) / fill(1024) == Approx(4).epsilon(0.2));
  CHECK(measure_copy_rate(clock, 500) > 100);
  CHECK(measure_gemm_rate(clock, 4096, 4096, 4096, at::kBFloat16) > 10);

  const at::Tensor x = at::empty({int64_t{1} << 30}, bytes);
  const std::vector<StageTime> stages = time_stages(
      clock.device(),
      [&] {
        begin_stage("once");
        x.fill_(1);
        begin_stage("twice");
        x.fill_(1);
        x.fill_(2);
      },
      5);
  REQUIRE(stages.size() == 2);
  CHECK(stages[1].ms / stages[0].ms == Approx(2).epsilon(0.2));
}

TEST_CASE("bench: each operation has a time forward and backward on a card", "[cuda]") {
  if (!at::hasCUDA()) SKIP("no CUDA device");
  const DeviceClock clock(at::Device(at::kCUDA, 0), 5);
  for (const char* operation : {"linear_attention", "rms_norm_rotary", "adaptive_layer_norm"})
    for (const char* implementation : {"linden", "libtorch"})
      for (const BenchPass pass : {BenchPass::kForward, BenchPass::kBackward}) {
        BenchRow row{.operation = operation,
                     .shape = {1, 1000, 4, 64},
                     .map = operation == std::string("linear_attention") ? "hedgehog" : "",
                     .dtype = "bfloat16",
                     .pass = pass,
                     .implementation = implementation,
                     .cost = {},
                     .error = ""};
        time_row(row, 0, clock);
        INFO(operation << " " << implementation << " " << name_of(pass));
        CHECK(row.error == "");
        CHECK(row.us > 0);
        CHECK(row.workspace_mb >= 0);
      }
}

TEST_CASE("linden bench attention and dit on a card", "[cuda]") {
  if (!at::hasCUDA()) SKIP("no CUDA device");
  const TemporaryFolder folder;
  const std::string common = " --device cuda --set dtype=bfloat16 --set gemm_size=1024 --output ";
  const CommandResult attention = run_linden("bench attention configs/bench/attention_small.json" + common + (folder / "attention").string());
  INFO(attention.output);
  CHECK(attention.exit_code == 0);
  CHECK_THAT(read_text_file(folder / "attention/summary.json"), ContainsSubstring("\"rows\": 36,") && ContainsSubstring("\"rows_failed\": 0"));
  const CommandResult dit = run_linden("bench dit configs/bench/video_dit_small.json" + common + (folder / "dit").string());
  INFO(dit.output);
  CHECK(dit.exit_code == 0);
  CHECK_THAT(read_text_file(folder / "dit/stages.csv"), ContainsSubstring("linear_attention"));
}
