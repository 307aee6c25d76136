// Benchmarks without a clock: cost formulas, floors, the table's formats, what torch's program wrote.
#include "experiment/bench_rows.h"

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cmath>

#include "core/files.h"
#include "tests/support/support.h"

using namespace linden;
using namespace linden::test;
using Catch::Approx;
using Catch::Matchers::ContainsSubstring;

namespace {

constexpr BenchShape kWan{1, 32760, 12, 128};

BenchRow row_of(const std::string& implementation, double us) {
  const Cost cost = linear_attention_cost(kWan, feature_map_of("hedgehog"), BenchPass::kForward, 2);
  return {.operation = "linear_attention",
          .shape = kWan,
          .map = "hedgehog",
          .dtype = "bfloat16",
          .implementation = implementation,
          .cost = cost,
          .us = us,
          .repeats = 50,
          .floor_us = 134,
          .error = ""};
}

}  // namespace

TEST_CASE("bench: bytes and FLOP of the operations at Wan's 1.3B shape", "[unit]") {
  const auto linear = [](const char* map, BenchPass pass) { return linear_attention_cost(kWan, feature_map_of(map), pass, 2); };
  const double U = 2.0 * 32760 * 12 * 128 * 128;
  CHECK(linear("relu", BenchPass::kForward).bytes == Approx(402.6e6).epsilon(1e-3));
  CHECK(linear("relu", BenchPass::kBackward).bytes == Approx(704.5e6).epsilon(1e-3));
  CHECK(linear("relu", BenchPass::kForward).flop == Approx(2 * U));
  CHECK(linear("relu", BenchPass::kBackward).flop == Approx(5 * U));
  // R = 2 D, and projections: 25.8 GFLOP each for W of q and k, for the state and for the output; backward 5 products and 6 of W.
  CHECK(linear("hedgehog", BenchPass::kForward).flop == Approx(77.3e9).epsilon(1e-3));
  CHECK(linear("hedgehog", BenchPass::kBackward).flop == Approx(206.2e9).epsilon(1e-3));
  CHECK(linear("taylor2", BenchPass::kForward).flop == Approx(2 * U * 153 / 128 + 2 * U * 16 / 128));
  CHECK(softmax_attention_cost(kWan, BenchPass::kForward, 2).flop == Approx(6.594e12).epsilon(1e-3));
  CHECK(softmax_attention_cost(kWan, BenchPass::kBackward, 2).flop == Approx(16.49e12).epsilon(1e-3));
  CHECK(rms_norm_rotary_cost(kWan, BenchPass::kBackward, 2).bytes == Approx(3 * 100.6e6).epsilon(1e-3));
  CHECK(adaptive_layer_norm_cost(kWan, BenchPass::kForward, 4).bytes == Approx(4 * 201.3e6).epsilon(1e-3));
}

TEST_CASE("bench: the floor is that of the scarcer of bytes and FLOP", "[unit]") {
  const CardRates rates{3000, 800};
  CHECK(floor_microseconds({402.6e6, 26e9}, rates) == Approx(134.2).epsilon(1e-3));
  CHECK(floor_microseconds({704.5e6, 206.2e9}, rates) == Approx(257.75).epsilon(1e-3));
  CHECK(floor_microseconds({3e9, 0}, CardRates{3000, std::nan("")}) == Approx(1000));
  CHECK(std::isnan(floor_microseconds({1, 1}, {})));
}

TEST_CASE("bench: a shape is four numbers", "[unit]") {
  CHECK(bench_shape_of("2,4096,16,64", "shapes").sizes() == std::vector<int64_t>{2, 4096, 16, 64});
  for (const char* bad : {"", "1,2,3", "1,2,3,4,5", "1,2,3,", "1,,3,4", "1,2,3,x", "0,2,3,4", "-1,2,3,4", "1 2 3 4"}) {
    INFO(bad);
    CHECK_THAT(message_of([&] { bench_shape_of(bad, "shapes"); }), ContainsSubstring("wanted B,N,H,D: four numbers from 1 on"));
  }
}

TEST_CASE("bench: a table has rates, shares and speed-ups, and says why a line has none", "[unit]") {
  std::vector<BenchRow> rows = {row_of("libtorch", 1560), row_of("torch compiled", 1280), row_of("linden", 320), row_of("linden", std::nan(""))};
  rows[3].pass = BenchPass::kBackward;
  rows[3].error = "out of memory, \"all\" | of it";
  set_speed_ups(rows);
  CHECK(rows[2].over_libtorch == Approx(4.875));
  CHECK(rows[2].over_compiled == Approx(4));
  CHECK(std::isnan(rows[0].over_libtorch));
  CHECK(std::isnan(rows[3].over_compiled));  // another pass
  CHECK(rows[2].share_of_floor() == Approx(0.41875));
  CHECK(rows[2].gb_per_s() == Approx(1258).epsilon(1e-3));

  const std::string line = bench_text_line(rows[2]);
  CHECK(line.size() == bench_text_header().size());
  CHECK_THAT(line, ContainsSubstring("1,32760,12,128") && ContainsSubstring("  320 ") && ContainsSubstring(" 41.9 ") && ContainsSubstring(" 4.88 "));
  CHECK_THAT(bench_text_line(rows[3]), ContainsSubstring("out of memory"));
  CHECK_THAT(bench_markdown(rows), ContainsSubstring("| out of memory, \"all\" / of it |"));
  CHECK_THAT(bench_csv(rows), ContainsSubstring("linear_attention,1,32760,12,128,hedgehog,bfloat16,forward,linden,320,,50,") &&
                                  ContainsSubstring(",\"out of memory, \"\"all\"\" | of it\"\n"));
  const std::string json = bench_json(rows);
  CHECK_THAT(json, ContainsSubstring("\"us\": 320.0") && ContainsSubstring("\"us\": null") && ContainsSubstring("\"over_compiled\": 4.0"));
}

TEST_CASE("bench: torch's lines are read, and damaged ones are named and left out", "[unit]") {
  const TemporaryFolder folder;
  const std::string good =
      R"({"what": "linear_attention", "shape": [1, 32760, 12, 128], "map": "hedgehog", "dtype": "bfloat16", "mode": "compiled", "pass": "forward", "us": 1286.5, "device": "NVIDIA H100 80GB HBM3", "torch": "2.11.0"})";
  std::string eager = good, failed = good, no_time = good;
  eager.replace(eager.find("compiled"), 8, "eager");
  no_time.replace(no_time.find("1286.5"), 6, "null");
  failed.replace(failed.find("\"pass\""), failed.find(", \"device\"") - failed.find("\"pass\""), "\"error\": \"out of memory\"");
  write_file_atomically(folder / "peer.jsonl",
                        good + "\n" + eager + "\nW1124 a compiler's warning\n" + failed + "\n" + no_time + "\n[1]\n{\"what\": 3}\n" + good.substr(0, 50));
  const PeerFile peer = read_peer_file(folder / "peer.jsonl");
  REQUIRE(peer.rows.size() == 2);
  CHECK(peer.rows[0].implementation == "torch compiled");
  CHECK(peer.rows[1].implementation == "torch eager");
  CHECK(peer.rows[0].us == 1286.5);
  CHECK(same_work(peer.rows[0], row_of("linden", 1)));
  CHECK(peer.devices == std::vector<std::string>{"NVIDIA H100 80GB HBM3"});
  CHECK(peer.torch == std::vector<std::string>{"2.11.0"});
  REQUIRE(peer.skipped.size() == 4);
  CHECK_THAT(peer.skipped[0], ContainsSubstring("line 4: torch compiled linear_attention hedgehog: it failed there: \"out of memory\""));
  CHECK(peer.skipped[1] == "line 5: no number \"us\" above 0");
  CHECK(peer.skipped[2] == "line 7: no text \"what\"");
  CHECK_THAT(peer.skipped[3], ContainsSubstring("line 8: no JSON"));

  write_file_atomically(folder / "empty.jsonl", "nothing\n{\"what\": 3}\n");
  CHECK_THAT(message_of([&] { read_peer_file(folder / "empty.jsonl"); }),
             ContainsSubstring("not one usable line, wanted the output of scripts/bench/attention_torch.py; line 2: no text \"what\""));
  CHECK_THAT(message_of([&] { read_peer_file(folder / "none.jsonl"); }), ContainsSubstring("cannot read it"));
}
