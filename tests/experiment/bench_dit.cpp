// The video transformer's benchmark without a clock: FLOP, bytes, weights, floors; and that the table of stages is that of the network.
#include "experiment/bench_dit.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <map>
#include <set>

#include "core/files.h"
#include "experiment/bench_attention_cases.h"
#include "experiment/bench_stages.h"
#include "models/video_dit.h"
#include "nn/stage.h"
#include "ops/adaptive_layer_norm.h"
#include "ops/rms_norm_rotary.h"
#include "tests/support/gradcheck.h"
#include "tests/support/support.h"

using namespace linden;
using namespace linden::test;
using Catch::Approx;
using Catch::Matchers::ContainsSubstring;

namespace {

std::map<std::string, DitStage> by_name(const std::vector<DitStage>& stages) {
  std::map<std::string, DitStage> result;
  for (const DitStage& stage : stages) result[stage.name] = stage;
  return result;
}

BenchDitConfig small() {
  BenchDitConfig c;
  c.model.num_attention_heads = 2;
  c.model.attention_head_dim = 32;
  c.model.text_dim = 24;
  c.model.freq_dim = 16;
  c.model.ffn_dim = 96;
  c.model.num_layers = 3;
  c.frames = 5;
  c.height = c.width = 32;
  c.text_tokens = 7;
  c.dtype = "float32";
  return c;
}

double worst_difference(const at::Tensor& a, const at::Tensor& b) { return (a - b).abs().max().item<double>(); }

}  // namespace

TEST_CASE("bench dit: FLOP of Wan 1.3B at 480p", "[unit]") {
  const BenchDitConfig config;
  const DitWork work = dit_work(config, 0);
  CHECK(work.tokens == 32760);
  const auto stages = dit_stages(config.model, work);
  auto of = by_name(stages);
  // TFLOP of a layer: q, k, v, o 0.618; q and o of cross-attention 0.309; cross-attention 0.103; feed-forward 1.803; attention 6.594.
  CHECK((of["qkv"].cost.flop + of["self_output"].cost.flop) / 30 == Approx(0.618e12).epsilon(1e-3));
  CHECK((of["cross_query"].cost.flop + of["cross_output"].cost.flop) / 30 == Approx(0.309e12).epsilon(1e-3));
  CHECK(of["cross_attention"].cost.flop / 30 == Approx(0.103e12).epsilon(2e-3));
  CHECK((of["ffn_up"].cost.flop + of["ffn_down"].cost.flop) / 30 == Approx(1.803e12).epsilon(1e-3));
  CHECK(of["softmax_attention"].cost.flop / 30 == Approx(6.594e12).epsilon(1e-3));
  CHECK(total_of(stages).flop == Approx(283e12).epsilon(2e-3));
  CHECK(num_weights(config.model) == Approx(1.419e9).epsilon(1e-3));
  auto mixed = by_name(dit_stages(config.model, dit_work(config, 16)));
  CHECK(mixed["softmax_attention"].calls == 14);
  CHECK(mixed["linear_attention"].cost.flop == Approx(16 * 77.3e9).epsilon(1e-3));
  CHECK_FALSE(by_name(dit_stages(config.model, dit_work(config, 30))).contains("softmax_attention"));
}

TEST_CASE("bench dit: each stage's floor comes from its own rate", "[unit]") {
  const DitRates rates{3000, 800, {{{32760, 8960, 1536}, 700}}, 600, 400};
  CHECK(stage_floor_ms({"", 1, {0, 7e12}, DitLimit::kGemm, {32760, 8960, 1536}}, rates) == Approx(10));
  CHECK(stage_floor_ms({"", 1, {0, 8e12}, DitLimit::kGemm, {1, 1, 1}}, rates) == Approx(10));
  CHECK(stage_floor_ms({"", 1, {0, 6e12}, DitLimit::kSelfAttention, {}}, rates) == Approx(10));
  CHECK(stage_floor_ms({"", 1, {0, 4e12}, DitLimit::kCrossAttention, {}}, rates) == Approx(10));
  CHECK(stage_floor_ms({"", 1, {30e9, 4e12}, DitLimit::kLinearAttention, {}}, rates) == Approx(10));
  CHECK(stage_floor_ms({"", 1, {30e9, 0}, DitLimit::kBytes, {}}, rates) == Approx(10));
}

TEST_CASE("bench dit: weights and stages are those of the network", "[unit]") {
  const BenchDitConfig config = small();
  for (const int64_t linear : {0, 2, 3}) {
    VideoDitConfig layout = config.model;
    for (int64_t i = 0; i < layout.num_layers; ++i) layout.attention.push_back(i < linear ? "linear" : "softmax");
    layout.feature_map = ReluMapConfig{};
    VideoDit model(layout);
    model->eval();
    int64_t weights = 0;
    for (const at::Tensor& p : model->parameters()) weights += p.numel();
    CHECK(static_cast<double>(weights) == num_weights(config.model));

    const at::NoGradGuard no_grad;
    const DitWork work = dit_work(config, linear);
    const at::Tensor latents = at::randn({1, 16, 2, 4, 4}), text = at::randn({1, 7, 24}), time = at::full({1}, 5.0);
    const std::vector<StageTime> times = time_stages(
        at::kCPU, [&] { model->forward(latents, time, text); }, 1);
    std::map<std::string, int64_t> measured, planned;
    for (const StageTime& stage : times) measured[stage.name] = stage.calls;
    for (const DitStage& stage : dit_stages(config.model, work)) planned[stage.name] = stage.calls;
    CHECK(measured == planned);
  }
}

TEST_CASE("stages: marks go to the innermost session, and nowhere without one", "[unit]") {
  std::string outer, inner;
  begin_stage("unheard");
  {
    const StageSession session([&](std::string_view stage) { outer += stage; });
    begin_stage("a");
    {
      const StageSession nested([&](std::string_view stage) { inner += stage; });
      begin_stage("b");
    }
    begin_stage("c");
  }
  begin_stage("unheard");
  CHECK(outer == "ac");
  CHECK(inner == "b");
  CHECK(time_stages(
            at::kCPU, [] {}, 1)
            .empty());
}

TEST_CASE("bench dit: diffusers' lines are read, and damaged ones are named and left out", "[unit]") {
  const TemporaryFolder folder;
  const std::string good =
      R"({"what": "wan_forward", "mode": "eager", "ms": 634.7, "peak_gb": 7.5, "tokens": 32760, "layers": 30, "dtype": "bfloat16", "device": "NVIDIA H100 80GB HBM3"})";
  std::string failed = good, no_time = good;
  failed.replace(failed.find("\"ms\": 634.7"), 11, "\"error\": \"no compiler\"");
  no_time.replace(no_time.find("634.7"), 5, "-1");
  write_file_atomically(folder / "peer.jsonl",
                        good + "\nW1124 a warning\n" + failed + "\n" + no_time + "\n{\"what\": \"linear_attention\"}\n" + good.substr(0, 30));
  const PeerPasses peer = read_peer_passes(folder / "peer.jsonl");
  REQUIRE(peer.passes.size() == 1);
  CHECK(peer.passes[0].ms == 634.7);
  CHECK(peer.passes[0].tokens == 32760);
  CHECK(peer.passes[0].batch == 0);  // an older line does not say
  std::string newer = good;
  newer.insert(1, R"("batch": 2, "text_tokens": 512, "width": 1536, )");
  write_file_atomically(folder / "newer.jsonl", newer);
  const PeerPass said = read_peer_passes(folder / "newer.jsonl").passes.at(0);
  CHECK(said.batch == 2);
  CHECK(said.text_tokens == 512);
  CHECK(said.width == 1536);
  REQUIRE(peer.skipped.size() == 4);
  CHECK(peer.skipped[0] == "line 3: eager: it failed there: \"no compiler\"");
  CHECK(peer.skipped[1] == "line 4: no number \"ms\" above 0");
  CHECK(peer.skipped[2] == "line 5: what is \"linear_attention\", wanted wan_forward");
  CHECK_THAT(peer.skipped[3], ContainsSubstring("line 6: no JSON"));
  write_file_atomically(folder / "none.jsonl", "\n");
  CHECK_THAT(message_of([&] { read_peer_passes(folder / "none.jsonl"); }),
             ContainsSubstring("not one usable line, wanted the output of scripts/bench/diffusers_wan.py"));
}

TEST_CASE("bench dit: a video that does not fit is refused", "[unit]") {
  const auto message = [](const auto& change) {
    BenchDitConfig config = small();
    change(config);
    return message_of([&] { dit_work(config, config.linear_blocks[0]); });
  };
  CHECK_THAT(message([](BenchDitConfig& c) { c.frames = 80; }), ContainsSubstring("frames is 80, wanted 1 more than a multiple of 4"));
  CHECK_THAT(message([](BenchDitConfig& c) { c.height = 40; }),
             ContainsSubstring("height is 40: that is 5 latents, wanted a whole number that the patch's 2 divides"));
  CHECK_THAT(message([](BenchDitConfig& c) { c.width = 100; }), ContainsSubstring("width is 100: that is 12.500 latents"));
  CHECK_THAT(message([](BenchDitConfig& c) { c.text_tokens = 513; }), ContainsSubstring("text_tokens is 513, but model.text_len is 512"));
  CHECK_THAT(message([](BenchDitConfig& c) { c.linear_blocks = {4}; }), ContainsSubstring("linear_blocks: 4 is more than the model's 3 blocks"));
  CHECK_THAT(message([](BenchDitConfig& c) { c.model.attention = {"linear"}; }), ContainsSubstring("model.attention is set by linear_blocks"));
}

TEST_CASE("bench attention: the expressions that are compared compute the same", "[truth]") {
  for (const char* operation : {"linear_attention", "rms_norm_rotary", "adaptive_layer_norm"}) {
    INFO(operation);
    BenchRow row{.operation = operation,
                 .shape = {2, 24, 2, 32},
                 .map = operation == std::string("linear_attention") ? "hedgehog" : "",
                 .dtype = "float32",
                 .implementation = "linden",
                 .cost = {},
                 .error = ""};
    const BenchCase ours = bench_case_of(row, 1, at::kCPU);
    row.implementation = "libtorch";
    const BenchCase theirs = bench_case_of(row, 1, at::kCPU);
    const std::vector<at::Tensor> inputs = ours.make(0), other = ours.make(1);
    CHECK(worst_difference(inputs[0], other[0]) > 0.1);  // another set
    const std::vector<at::Tensor> a = ours.call(inputs), b = theirs.call(inputs);
    REQUIRE(a.size() == b.size());
    for (size_t i = 0; i < a.size(); ++i) CHECK(worst_difference(a[i], b[i].view(a[i].sizes())) < 2e-5);
  }
}
