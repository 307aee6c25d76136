// `linden forward`: the reference's outputs and activations from a model folder, and what it refuses.
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "core/files.h"
#include "io/safetensors.h"
#include "models/image_classifier.h"
#include "tests/models/video_dit_cases.h"
#include "tests/support/support.h"

using namespace linden;
using Catch::Matchers::ContainsSubstring;
using test::run_linden;

namespace {

const std::string kInput = " --input tests/golden/models/digits_unet_input.safetensors";
const std::string kDigits = "forward --device cpu --model configs/models/digits_unet" + kInput;

double relative_error(const at::Tensor& got, const at::Tensor& wanted) { return ((got.to(at::kFloat) - wanted).norm() / wanted.norm()).item<double>(); }

}  // namespace

TEST_CASE("forward writes the reference's outputs and activations", "[golden]") {
  const test::TemporaryFolder folder;
  const std::string output = (folder / "new/out.safetensors").string();
  const auto run = run_linden(kDigits + " --weights formula:5 --trace time_embedding,mid_block,down_blocks.2.attentions.0 --output " + output);
  INFO(run.output);
  REQUIRE(run.exit_code == 0);
  const NamedTensors got = load_safetensors(output), wanted = load_safetensors("tests/golden/models/digits_unet_output.safetensors");
  CHECK(got.size() == wanted.size());
  for (const auto& [name, tensor] : wanted) {
    INFO(name);
    REQUIRE(got.contains(name));
    CHECK(relative_error(got.at(name), tensor) <= 1e-5);
  }
}

TEST_CASE("forward runs in half precision and traces everything", "[e2e]") {
  const test::TemporaryFolder folder;
  const std::string output = (folder / "out.safetensors").string();
  const auto run = run_linden(kDigits + " --weights formula:5 --dtype bf16 --trace all --output " + output);
  INFO(run.output);
  REQUIRE(run.exit_code == 0);
  const NamedTensors got = load_safetensors(output);
  CHECK(got.at("sample").scalar_type() == at::kBFloat16);
  CHECK(relative_error(got.at("sample"), load_safetensors("tests/golden/models/digits_unet_output.safetensors").at("sample")) < 0.05);
  for (const char* name : {"trace.conv_in", "trace.up_blocks.2.resnets.1", "trace.conv_out"}) CHECK(got.contains(name));
}

TEST_CASE("forward runs classifiers from their folders", "[e2e]") {
  const test::TemporaryFolder folder;
  make_classifier("DigitJudge")->save(folder / "judge", at::kHalf);
  save_safetensors(folder / "in.safetensors", {{"sample", at::zeros({2, 1, 32, 32})}});
  const std::string output = (folder / "out.safetensors").string();
  const auto run =
      run_linden("forward --device cpu --model " + (folder / "judge").string() + " --input " + (folder / "in.safetensors").string() + " --output " + output);
  INFO(run.output);
  REQUIRE(run.exit_code == 0);
  CHECK(load_safetensors(output).at("logits").sizes() == at::IntArrayRef({2, 10}));
  CHECK(load_safetensors(output).at("features").sizes() == at::IntArrayRef({2, 64}));
}

TEST_CASE("forward says what is wrong with its arguments", "[e2e]") {
  const test::TemporaryFolder folder;
  const std::string output = " --output " + (folder / "out.safetensors").string();
  const auto fails = [&](const std::string& arguments, const std::string& part) {
    const auto run = run_linden(arguments);
    CHECK(run.exit_code == 2);
    CHECK_THAT(run.output, ContainsSubstring(part));
  };
  fails("forward" + kInput + output, "--model is missing");
  fails(kDigits, "--output is missing");
  fails(kDigits + output, "there are no weights");
  fails(kDigits + output + " --weights formula:x", "weights is \"formula:x\", wanted");
  fails(kDigits + output + " --weights formula:1 --dtype fp8", "--dtype fp8: allowed: fp32, bf16, fp16");
  fails(kDigits + output + " --weights formula:1 --trace midblock", "--trace midblock: the model has no such module; did you mean mid_block?");
  fails("forward --device cpu --model configs/models/digits_unet --weights formula:1 --input no.safetensors" + output, "--input no.safetensors: no such file");
  save_safetensors(folder / "in.safetensors", {{"sample", at::zeros({2, 1, 32, 32})}});
  const std::string other = "forward --device cpu --model configs/models/digits_unet --weights formula:1 --input " + (folder / "in.safetensors").string();
  fails(other + output, "the input tensor \"timestep\" is missing; wanted: sample, timestep");
  save_safetensors(folder / "in.safetensors", {{"sample", at::zeros({2, 3, 32, 32})}, {"timestep", at::zeros({1})}});
  fails(other + output, "in.safetensors: UNet2D: sample is [2, 3, 32, 32], wanted [B, 1, Y, X]");
  save_safetensors(folder / "in.safetensors", {{"sample", at::zeros({2, 1, 32, 32})}, {"timestep", at::zeros({3})}});
  fails(other + output, "timestep is [3], wanted one number, or [2]");
  save_safetensors(folder / "in.safetensors", {{"sample", at::zeros({2, 1, 32, 32})}, {"timestep", at::zeros({1})}, {"class", at::zeros({1})}});
  fails(other + output, "there is no input \"class\"");
  save_safetensors(folder / "in.safetensors", {{"sample", at::zeros({2, 1, 32, 32}, at::kLong)}, {"timestep", at::zeros({1})}});
  fails(other + output, "in.safetensors: UNet2DModel: the input tensor \"sample\" is I64, wanted F32, F16, BF16 or F64");
}

TEST_CASE("forward runs a video transformer's folder and traces it under the reference's names", "[golden]") {
  const test::TemporaryFolder folder;
  const test::VideoCase golden = test::read_video_case("tiny");
  write_file_atomically(folder / "config.json", SafetensorsFile(test::video_golden_path("tiny")).metadata().at("config"));
  const std::string input = (folder / "in.safetensors").string(), output = (folder / "out.safetensors").string();
  const NamedTensors inputs = {{"hidden_states", golden.latents}, {"timestep", golden.timestep}, {"encoder_hidden_states", golden.text}};
  save_safetensors(input, inputs);
  const std::string command = "forward --device cpu --model " + folder.path.string() + " --weights formula:" + std::to_string(golden.seed) + " --input " +
                              input + " --output " + output;
  const auto run = run_linden(command + " --trace all");
  INFO(run.output);
  REQUIRE(run.exit_code == 0);
  const NamedTensors got = load_safetensors(output);
  for (const auto& [name, tensor] : golden.wanted) {
    if (name != "sample" && !name.starts_with("trace.")) continue;
    INFO(name);
    REQUIRE(got.contains(name));
    CHECK(relative_error(got.at(name), tensor) <= 1e-5);
  }
  save_safetensors(input, {{"hidden_states", golden.latents.narrow(4, 0, 9)}, {"timestep", golden.timestep}, {"encoder_hidden_states", golden.text}});
  const auto refused = run_linden(command);
  CHECK(refused.exit_code == 2);
  CHECK_THAT(refused.output, ContainsSubstring("latents have 9 columns, wanted a multiple of the patch's 2"));
}
