// linden bench attention from the command line, on the CPU.
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "core/files.h"
#include "tests/support/support.h"

using namespace linden;
using namespace linden::test;
using Catch::Matchers::ContainsSubstring;

TEST_CASE("linden bench attention: every line has a time or a reason, in all three files", "[e2e]") {
  const TemporaryFolder folder;
  const std::string torch =
      R"({"what": "linear_attention", "shape": [1, 256, 2, 32], "map": "hedgehog", "dtype": "float32", "mode": "compiled", "pass": "backward", "us": 100000, "device": "another card", "torch": "2.11.0"})";
  write_file_atomically(folder / "peer.jsonl", torch + "\n{\"what\"");
  const std::string small = "bench attention configs/bench/attention_small.json --set threads=1 ", run = (folder / "run").string();
  const CommandResult result = run_linden(small + "--set repeats=2 --output " + run + " --set peer=" + (folder / "peer.jsonl").string() +
                                          " --set softmax_backends=[\\\"cudnn\\\",\\\"math\\\"]");
  INFO(result.output);
  REQUIRE(result.exit_code == 0);
  CHECK_THAT(result.output, ContainsSubstring("line 2: no JSON") && ContainsSubstring("it was measured on another card"));
  const std::string csv = read_text_file(folder / "run/results.csv"), table = read_text_file(folder / "run/table.md"),
                    json = read_text_file(folder / "run/results.json");
  for (const char* operation : {"linear_attention", "softmax_attention", "rms_norm_rotary", "adaptive_layer_norm"})
    CHECK_THAT(csv, ContainsSubstring(operation));
  for (const char* map : {"hedgehog", "softmax", "elu_plus_one", "relu", "exp", "taylor2"})
    for (const char* pass : {"forward", "backward"})
      for (const char* by : {"libtorch", "linden"})
        CHECK_THAT(csv, ContainsSubstring("linear_attention,1,256,2,32," + std::string(map) + ",float32," + pass + "," + by + ","));
  CHECK_THAT(table, ContainsSubstring("| torch compiled | 100000 |") && ContainsSubstring("x compiled"));
  CHECK_THAT(json, ContainsSubstring("\"over_compiled\"") && ContainsSubstring("\"copy_gb_per_s\"") && ContainsSubstring("\"another card\""));
  // 24 of linear attention, 4 of softmax attention, 8 of norms, 1 of the peer; cuDNN takes nothing on a CPU.
  CHECK_THAT(read_text_file(folder / "run/summary.json"), ContainsSubstring("\"rows\": 37,") && ContainsSubstring("\"rows_failed\": 2"));
}

TEST_CASE("linden bench attention: the plan, and what is wrong before anything runs", "[e2e]") {
  const CommandResult plan = run_linden("bench attention configs/bench/attention.json --dry-run");
  CHECK(plan.exit_code == 0);
  CHECK_THAT(plan.output, ContainsSubstring("linear_attention    1,32760,12,128   hedgehog     backward  linden           704.5     206.1"));
  CHECK_THAT(plan.output, ContainsSubstring("not run: its scores take"));
  const std::string small = "bench attention configs/bench/attention_small.json ";
  CHECK_THAT(run_linden(small + "--set shapes=[\\\"1,2\\\"]").output, ContainsSubstring("shapes: got \"1,2\", wanted B,N,H,D"));
  CHECK_THAT(run_linden(small + "--set feature_maps=[\\\"hedgehg\\\"]").output,
             ContainsSubstring("feature_maps: \"hedgehg\" is none of") && ContainsSubstring("did you mean \"hedgehog\"?"));
  CHECK_THAT(run_linden(small + "--set passes=[]").output, ContainsSubstring("nothing to measure"));
  CHECK_THAT(run_linden(small + "--set peer=no_such_file").output, ContainsSubstring("no_such_file: cannot read it"));
  const CommandResult unknown = run_linden("bench atention configs/bench/attention_small.json");
  CHECK(unknown.exit_code == 2);
  CHECK_THAT(unknown.output,
             ContainsSubstring("no kind \"atention\"; kinds: sampler, attention, dit, adm") && ContainsSubstring("did you mean \"attention\"?"));
  CHECK_THAT(run_linden("config show \"bench attention\"").output, ContainsSubstring("\"norm_shapes\""));
  CHECK_THAT(run_linden("config show bench").output, ContainsSubstring("linden bench: no kind given; kinds: sampler, attention, dit, adm"));
}

TEST_CASE("linden bench attention: a card that is not there is an error", "[e2e]") {
  const CommandResult result = run_linden("bench attention configs/bench/attention_small.json --device cuda:99 --dry-run");
  CHECK(result.exit_code == 0);  // the plan needs no card
  const CommandResult run = run_linden("bench attention configs/bench/attention_small.json --device cuda:99");
  CHECK(run.exit_code == 2);
  CHECK_THAT(run.output, ContainsSubstring("device is \"cuda:99\", but"));
}

TEST_CASE("linden bench dit: a row for each number of linear blocks, dense first, and the stages of each", "[e2e]") {
  const TemporaryFolder folder;
  const std::string pass =
      R"({"what": "wan_forward", "mode": "compiled", "ms": 1000000, "peak_gb": null, "tokens": 96, "layers": 2, "dtype": "float32", "device": "another card"})";
  std::string other = pass;
  other.replace(other.find("96"), 2, "95");
  write_file_atomically(folder / "peer.jsonl", pass + "\n" + other + "\n{\"what\"");
  const CommandResult result = run_linden("bench dit configs/bench/video_dit_small.json --set threads=1 --set linear_blocks=[2,0] --set repeats=2 --output " +
                                          (folder / "run").string() + " --set peer=" + (folder / "peer.jsonl").string());
  INFO(result.output);
  REQUIRE(result.exit_code == 0);
  const std::string csv = read_text_file(folder / "run/results.csv"), stages = read_text_file(folder / "run/stages.csv");
  CHECK(csv.find("\n0,") < csv.find("\n2,"));
  CHECK_THAT(stages, ContainsSubstring("\n0,softmax_attention,2,") && ContainsSubstring("\n2,linear_attention,2,") && ContainsSubstring("\n2,ffn_down,2,"));
  CHECK_THAT(stages, !ContainsSubstring("\n0,linear_attention") && !ContainsSubstring("\n2,softmax_attention") && !ContainsSubstring("gated_attention"));
  CHECK_THAT(read_text_file(folder / "run/table.md"), ContainsSubstring("| linear blocks | ms |") && ContainsSubstring("## 2 linear blocks") &&
                                                          ContainsSubstring("| diffusers compiled | 1000000.00 |"));
  CHECK_THAT(result.output, ContainsSubstring("a pass of 95 tokens") && ContainsSubstring("line 3: no JSON") && ContainsSubstring("measured on another card"));
  CHECK_THAT(read_text_file(folder / "run/summary.json"), ContainsSubstring("\"tokens\": 96") && ContainsSubstring("\"share_of_floor\""));
}

TEST_CASE("linden bench dit: the plan predicts time and memory", "[e2e]") {
  const CommandResult plan = run_linden("bench dit configs/bench/wan_1_3b.json --dry-run --set linear_blocks=[0,16]");
  CHECK(plan.exit_code == 0);
  CHECK_THAT(plan.output, ContainsSubstring("0 of 30 blocks linear: 32760 tokens, 1.42 G weights, 283.00 TFLOP; predicted 459.9 ms") &&
                              ContainsSubstring("16 of 30 blocks linear"));
  const CommandResult wrong = run_linden("bench dit configs/bench/video_dit_small.json --set frames=6");
  CHECK(wrong.exit_code == 2);
  CHECK_THAT(wrong.output, ContainsSubstring("frames is 6, wanted 1 more than a multiple of 4"));
}

TEST_CASE("linden bench adm: a line for every objective, width and learning rate", "[e2e]") {
  const TemporaryFolder folder;
  const CommandResult result = run_linden(
      "bench adm configs/bench/adm.json --set solver_steps=[10] --set widths=[0.5,2] --set trial_widths=[0.5] --set learning_rates=[0.003] --set "
      "trial.steps=40 --output " +
      (folder / "run").string());
  INFO(result.output);
  REQUIRE(result.exit_code == 0);
  const std::string linear = read_text_file(folder / "run/linear.csv"), trials = read_text_file(folder / "run/trials.csv");
  CHECK_THAT(linear, ContainsSubstring("\nmse,10,0.5,1,") && ContainsSubstring("\non-policy,10,2,1,"));
  CHECK_THAT(trials, ContainsSubstring("\nadm raw,0.5,0.003,40,") && ContainsSubstring("\nadm unit large epsilon,0.5,0.003,40,"));
  CHECK_THAT(read_text_file(folder / "run/summary.json"),
             ContainsSubstring("\"forms\": 18,") && ContainsSubstring("\"trials\": 18,") && ContainsSubstring("\"on-policy\""));
  for (const char* figure : {"linear.svg", "training.svg", "width.svg"}) CHECK_THAT(read_text_file(folder / "run" / figure), ContainsSubstring("<svg"));
  CHECK_THAT(run_linden("bench adm configs/bench/adm.json --set learning_rates=[]").output, ContainsSubstring("each want at least one value"));
}
