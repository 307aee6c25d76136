// Softmax attention and the choice of its back-end: values, the table of choices, its file, bad input.
#include "ops/attention.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <fstream>

#include "core/error.h"
#include "core/logging.h"
#include "ops/attention_measure.h"
#include "tests/support/gradcheck.h"
#include "tests/support/support.h"

using namespace linden;
using namespace linden::test;
using Catch::Matchers::ContainsSubstring;

namespace {

AttentionShape some_shape() { return {"a card", "BFloat16", 1, 8192, 512, 12, 128, true, false}; }
AttentionMeasurement some_measurement() {
  return {{{AttentionBackend::kCudnn, 812.25}, {AttentionBackend::kFlash, 1200.5}}, {{AttentionBackend::kMath, "its scores take 12.0 GiB"}}};
}

std::string load_message(const std::filesystem::path& file, const std::string& text) {
  std::ofstream(file) << text;
  AttentionChoices choices;
  const std::string message = message_of([&] { attention_choices_load(choices, file); });
  CHECK(choices.all().empty());
  return message;
}

}  // namespace

TEST_CASE("softmax attention: cross-attention over another number of keys is the formula, with its gradient", "[unit]") {
  const at::Tensor q = normal({2, 5, 3, 8}, 1), k = normal({2, 11, 3, 8}, 2), v = normal({2, 11, 3, 8}, 3);
  const at::Tensor weights = (at::einsum("bnhd,bmhd->bhnm", {q, k}) / std::sqrt(8.0)).softmax(-1);
  CHECK(relative_error(softmax_attention(q, k, v, {}), at::einsum("bhnm,bmhd->bnhd", {weights, v})) < 1e-13);
  CHECK(gradient_error([](const std::vector<at::Tensor>& x) { return softmax_attention(x[0], x[1], x[2], {}); }, {q, k, v}) < 1e-7);
  CHECK(default_attention_choices().all().empty());  // nothing is measured on the CPU
}

TEST_CASE("softmax attention: bad input is named", "[unit]") {
  const at::Tensor q = at::zeros({2, 5, 3, 8}), k = at::zeros({2, 7, 3, 8});
  CHECK_THAT(message_of([&] { softmax_attention(q[0], q, q, {}); }), ContainsSubstring("q has shape [5, 3, 8], wanted rank 4 [B, N, H, D]"));
  CHECK_THAT(message_of([&] { softmax_attention(q, k, q, {}); }), ContainsSubstring("v has shape [2, 5, 3, 8], wanted [2, 7, 3, 8]"));
  CHECK_THAT(message_of([&] { softmax_attention(q, q.to(at::kHalf), q, {}); }), ContainsSubstring("k is Half on cpu, wanted q's Float on cpu"));
  CHECK_THAT(message_of([&] { softmax_attention(q, k, k, at::ones({2}, at::kLong)); }),
             ContainsSubstring("num_valid is for self-attention, but there are 5 queries and 7 keys"));
  CHECK_THAT(message_of([&] { softmax_attention(q, q, q, at::ones({3}, at::kLong)); }), ContainsSubstring("num_valid has shape [3], wanted [B] = [2]"));
}

TEST_CASE("attention back-ends: a shape's key has every part that a choice depends on", "[unit]") {
  const AttentionShape base = some_shape();
  CHECK(base == some_shape());
  std::vector<AttentionShape> others(9, base);
  others[0].device = "another card", others[1].dtype = "Half", others[2].batch = 2, others[3].queries = 4096, others[4].keys = 8192;
  others[5].heads = 40, others[6].head_dim = 64, others[7].gradient = false, others[8].padded = true;
  AttentionChoices choices;
  choices.add(base, some_measurement());
  for (const AttentionShape& other : others) {
    CHECK(other != base);
    CHECK_FALSE(choices.find(other).has_value());
  }
  const at::Tensor q = at::zeros({2, 5, 3, 8}), k = at::zeros({2, 7, 3, 8}).requires_grad_();
  AttentionShape shape = attention_shape_of(q, k, k, {});
  CHECK_FALSE(shape.device.empty());
  shape.device = "cpu";
  CHECK(shape == AttentionShape{"cpu", "Float", 2, 5, 7, 3, 8, true, false});
  const at::NoGradGuard no_grad;
  CHECK_FALSE(attention_shape_of(q, k, k, {}).gradient);
}

TEST_CASE("attention back-ends: the fastest is chosen, or the preferred one where it runs", "[unit]") {
  AttentionChoices choices;
  choices.add(some_shape(), some_measurement());
  CHECK(choices.find(some_shape()) == AttentionBackend::kCudnn);
  choices.prefer(AttentionConfig{"flash"});
  CHECK(choices.find(some_shape()) == AttentionBackend::kFlash);
  AttentionMeasurement later = some_measurement();
  later.microseconds[AttentionBackend::kFlash] = 1;
  choices.prefer(AttentionConfig{"auto"});
  choices.add(some_shape(), later);
  CHECK(choices.find(some_shape()) == AttentionBackend::kCudnn);  // the first measurement stays
  const int64_t before = warnings_logged();
  choices.prefer(AttentionConfig{"math"});
  CHECK(choices.find(some_shape()) == AttentionBackend::kCudnn);
  CHECK(choices.find(some_shape()) == AttentionBackend::kCudnn);
  CHECK(warnings_logged() == before + 1);
  CHECK_THAT(message_of([&] { choices.add(some_shape(), {}); }), ContainsSubstring("without a back-end that runs"));
}

TEST_CASE("attention back-ends: the file holds all of a table", "[unit]") {
  const TemporaryFolder folder;
  AttentionChoices choices, read;
  CHECK_FALSE(attention_choices_load(read, folder / kAttentionChoicesFile));
  AttentionShape second = some_shape();
  second.gradient = false;
  second.padded = true;
  choices.add(some_shape(), some_measurement());
  choices.add(second, {{{AttentionBackend::kMath, 0.1 + 0.2}}, {{AttentionBackend::kFlash, "takes no mask \"\xff"}}});
  attention_choices_save(choices, folder / kAttentionChoicesFile);
  CHECK(attention_choices_load(read, folder / kAttentionChoicesFile));
  CHECK(read.all().size() == 2);
  CHECK(read.all().at(some_shape()) == some_measurement());
  CHECK((read.all().at(second).microseconds == choices.all().at(second).microseconds));
  CHECK(read.find(second) == AttentionBackend::kMath);
}

TEST_CASE("attention back-ends: a damaged file is refused, and says what to do", "[unit]") {
  const TemporaryFolder folder;
  const std::filesystem::path file = folder / kAttentionChoicesFile;
  AttentionChoices choices;
  choices.add(some_shape(), some_measurement());
  attention_choices_save(choices, file);
  std::ifstream stream(file);
  const std::string good((std::istreambuf_iterator<char>(stream)), {});
  const auto spoiled = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    REQUIRE(text.find(from) != std::string::npos);
    return load_message(file, text.replace(text.find(from), from.size(), to));
  };
  CHECK_THAT(load_message(file, good.substr(0, good.size() / 2)),
             ContainsSubstring("attention_backends.json: the document: ") && ContainsSubstring("delete the file, and attention is measured again"));
  CHECK_THAT(spoiled("\"format\": 1", "\"format\": 7"), ContainsSubstring("format is 7, wanted 1"));
  CHECK_THAT(spoiled("\"heads\"", "\"hands\""), ContainsSubstring("choices[0]: ") && ContainsSubstring("heads"));
  CHECK_THAT(spoiled("\"flash\": 1200.5", "\"warp\": 1200.5"), ContainsSubstring("\"warp\" is not a back-end (cudnn, flash, efficient, math)"));
  CHECK_THAT(spoiled("1200.5", "-3"), ContainsSubstring("flash took -3 us, wanted a time above 0"));
  CHECK(spoiled("\"libtorch\": \"2", "\"libtorch\": \"1").empty());  // another LibTorch: measured again
}

TEST_CASE("attention back-ends: math alone gives the formula and leaves the flags of the process as they were", "[unit]") {
  const at::Tensor q = normal({2, 3, 5, 8}, 1), k = normal({2, 3, 7, 8}, 2), v = normal({2, 3, 7, 8}, 3);
  at::Context& context = at::globalContext();
  context.setSDPUseFlash(false);
  const at::Tensor out = attention_by(AttentionBackend::kMath, {q, k, v, {}});
  CHECK_FALSE(context.userEnabledFlashSDP());
  context.setSDPUseFlash(true);
  CHECK(context.userEnabledMathSDP());
  CHECK(context.userEnabledMemEfficientSDP());
  CHECK(relative_error(out, at::matmul((at::matmul(q, k.transpose(2, 3)) / std::sqrt(8.0)).softmax(-1), v)) < 1e-13);
}
