// What a video diffusion transformer can be told to do: attention kinds, dtypes, recomputation, caches, frozen weights,
// folders; and what it refuses.
#include <ATen/autocast_mode.h>
#include <ATen/core/grad_mode.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "core/error.h"
#include "core/files.h"
#include "models/any_model.h"
#include "models/video_dit.h"
#include "models/wan_convert.h"
#include "models/weights.h"
#include "tests/models/video_dit_cases.h"
#include "tests/support/gradcheck.h"

using namespace linden;
using namespace linden::test;
using Catch::Matchers::ContainsSubstring;

namespace {

// The smallest golden with other attention kinds.
VideoCase tiny_case(const std::vector<std::string>& attention = {}, const FeatureMapConfig& map = {}) {
  VideoCase result = read_video_case("tiny");
  result.config.attention = attention;
  result.config.feature_map = map;
  return result;
}

at::Tensor run(VideoDit& model, const VideoCase& c) { return model(c.latents, c.timestep, c.text); }
at::Tensor run_without_gradients(VideoDit& model, const VideoCase& c) {
  const at::NoGradGuard no_grad;
  return run(model, c);
}

bool all_equal(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i)
    if (!at::equal(a[i], b[i])) return false;
  return true;
}

// Sets the weights of `to` that `from` has too.
void copy_shared_weights(VideoDit& to, const VideoDit& from) {
  const at::NoGradGuard no_grad;
  NamedTensors target = named_weights(*to);
  for (const auto& [name, tensor] : named_weights(*from))
    if (target.contains(name)) target.at(name).copy_(tensor);
}

class CpuAutocast {
 public:
  explicit CpuAutocast(bool on) : on_(on) {
    if (!on_) return;
    at::autocast::set_autocast_dtype(at::kCPU, at::kBFloat16);
    at::autocast::set_autocast_enabled(at::kCPU, true);
    at::autocast::increment_nesting();
  }
  ~CpuAutocast() {
    if (!on_) return;
    if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(at::kCPU, false);
  }
  CpuAutocast(const CpuAutocast&) = delete;

 private:
  bool on_;
};

at::Tensor run(VideoDit& model, const VideoCase& c, bool autocast) {
  const CpuAutocast scope(autocast);
  return run(model, c);
}

// Output, then the gradients of all parameters.
std::vector<at::Tensor> output_and_gradients(VideoDit& model, const VideoCase& c, bool autocast = false) {
  model->zero_grad();
  const at::Tensor out = run(model, c, autocast);
  (out * uniform("cotangent", out.sizes(), 5)).sum().backward();
  std::vector<at::Tensor> result = {out.detach()};
  for (const at::Tensor& parameter : model->parameters()) result.push_back(parameter.grad().clone());
  return result;
}

}  // namespace

TEST_CASE("every attention kind and feature map runs forward and backward", "[unit]") {
  for (const std::string kind : {"linear", "gated"}) {
    for (const FeatureMapConfig& map :
         {FeatureMapConfig(HedgehogMapConfig{}), FeatureMapConfig(Taylor2MapConfig{1e-12, 5}), FeatureMapConfig(ReluMapConfig{})}) {
      INFO(kind << " " << feature_map_name(map));
      const VideoCase c = tiny_case({"softmax", kind, "softmax"}, map);
      VideoDit model = make_video_dit(c.config, 1);
      const NamedTensors weights = named_weights(*model);
      CHECK(weights.contains("blocks.1.attn1.phi_q") == has_projection(map));
      CHECK(weights.contains("blocks.1.attn1.phi_k") == has_projection(map));
      CHECK(weights.contains("blocks.1.attn1.gate") == (kind == "gated"));
      CHECK_FALSE(weights.contains("blocks.0.attn1.gate"));
      if (has_projection(map)) CHECK(weights.at("blocks.1.attn1.phi_q").size(2) == (std::holds_alternative<Taylor2MapConfig>(map) ? 5 : 32));
      for (const at::Tensor& tensor : output_and_gradients(model, c)) {
        CHECK(tensor.isfinite().all().item<bool>());
        CHECK(tensor.abs().max().item<double>() > 0);
      }
    }
  }
}

TEST_CASE("feature maps and gates start where they are said to", "[unit]") {
  VideoDit hedgehog(tiny_case({"gated"}).config);
  CHECK(at::equal(named_weights(*hedgehog).at("blocks.0.attn1.phi_k"), at::eye(32).expand({2, 32, 32})));
  CHECK(hedgehog->blocks()[2]->self_attention()->gate().item<double>() == 1);
  VideoDit taylor(tiny_case({"linear"}, Taylor2MapConfig{1e-12, 4}).config);
  const NamedTensors weights = named_weights(*taylor);
  const at::Tensor phi = weights.at("blocks.0.attn1.phi_q");
  CHECK(at::equal(phi, weights.at("blocks.0.attn1.phi_k")));
  CHECK(at::allclose(at::bmm(phi.transpose(1, 2), phi), at::eye(4).expand({2, 4, 4}) / std::sqrt(32.0), 1e-5, 1e-6));
}

TEST_CASE("a gate of 1 is softmax attention bit for bit, and of 0 linear attention", "[unit]") {
  const VideoCase gated = tiny_case({"gated"}), softmax = tiny_case(), linear = tiny_case({"linear"});
  for (const auto& [value, other] : {std::pair{1.0, &softmax}, std::pair{0.0, &linear}}) {
    VideoDit model = make_video_dit(gated.config, 3, value), wanted = make_video_dit(other->config, 3);
    copy_shared_weights(wanted, model);
    const at::Tensor truth = run_without_gradients(wanted, gated);
    CHECK(at::equal(run_without_gradients(model, gated), truth));
    CHECK(at::equal(run(model, gated), truth));  // both branches, since the gate is trained
    model->freeze();
    wanted->freeze();
    CHECK(at::equal(run_without_gradients(model, gated), run_without_gradients(wanted, gated)));
  }
  VideoDit half = make_video_dit(gated.config, 3, 0.5), all = make_video_dit(softmax.config, 3);
  CHECK(relative_error(run_without_gradients(half, gated), run_without_gradients(all, gated)) > 1e-3);
}

TEST_CASE("activation checkpointing changes neither output nor gradients", "[unit]") {
  VideoCase c = tiny_case({"softmax", "gated", "linear"});
  VideoDit model = make_video_dit(c.config, 4);
  const auto check_both = [&](bool autocast = false) {
    model->set_activation_checkpointing(false);
    const std::vector<at::Tensor> plain = output_and_gradients(model, c, autocast);
    model->set_activation_checkpointing(true);
    CHECK(all_equal(output_and_gradients(model, c, autocast), plain));
    const at::Tensor out = run(model, c, autocast);  // the gradients without touching .grad
    const std::vector<at::Tensor> asked = torch::autograd::grad({out}, model->parameters(), {uniform("cotangent", out.sizes(), 5).to(out.scalar_type())});
    CHECK(all_equal(asked, {plain.begin() + 1, plain.end()}));
  };
  SECTION("fp32") { check_both(); }
  SECTION("bf16 by autocast") { check_both(true); }
  SECTION("bf16 weights") {
    model->to(at::kBFloat16);
    check_both();
  }
  SECTION("frozen weights get no gradient") {
    model->set_activation_checkpointing(true);
    for (const at::Tensor& parameter : model->parameters()) parameter.requires_grad_(false);
    named_weights(*model).at("blocks.1.attn1.gate").requires_grad_();
    run(model, c).sum().backward();
    for (const auto& item : model->named_parameters()) CHECK(item.value().grad().defined() == (item.key() == "blocks.1.attn1.gate"));
  }
}

TEST_CASE("a text cache gives the plain output, for any video", "[unit]") {
  const at::NoGradGuard no_grad;
  const VideoCase c = tiny_case();
  VideoDit model = make_video_dit(c.config, 6);
  const TextCache cache = model->encode_text(c.text);
  CHECK(at::equal(model->forward_cached(c.latents, c.timestep, cache), run(model, c)));
  const at::Tensor later = c.latents.narrow(2, 0, 1) * 0.5, timestep = at::tensor({3, 800}, at::kLong);
  CHECK(at::equal(model->forward_cached(later, timestep, cache), model(later, timestep.to(at::kFloat), c.text)));
}

TEST_CASE("one text serves all videos of a batch", "[unit]") {
  VideoCase c = tiny_case({"gated"});
  VideoDit model = make_video_dit(c.config, 12);
  c.text = c.text.narrow(0, 1, 1);
  const std::vector<at::Tensor> shared = output_and_gradients(model, c);
  c.text = c.text.repeat({2, 1, 1});
  const std::vector<at::Tensor> repeated = output_and_gradients(model, c);
  for (size_t i = 0; i < shared.size(); ++i) CHECK(relative_error(shared[i], repeated[i]) < 1e-4);
}

TEST_CASE("a video does not depend on its batch", "[unit]") {
  const VideoCase c = tiny_case({"gated"});
  VideoDit model = make_video_dit(c.config, 7);
  const at::Tensor together = run_without_gradients(model, c);
  const at::NoGradGuard no_grad;
  for (int64_t b = 0; b < 2; ++b)
    CHECK(relative_error(model(c.latents.narrow(0, b, 1), c.timestep.narrow(0, b, 1), c.text.narrow(0, b, 1)), together.narrow(0, b, 1)) < 1e-5);
}

TEST_CASE("frozen weights give the same to rounding and share their memory", "[unit]") {
  const VideoCase c = tiny_case({"softmax", "gated", "linear"});
  VideoDit model = make_video_dit(c.config, 8);
  const at::Tensor before = run_without_gradients(model, c);
  const NamedTensors weights = named_weights(*model);
  NamedTensors kept;
  for (const auto& [name, tensor] : weights) kept[name] = tensor.detach().clone();
  model->freeze();
  CHECK(relative_error(run_without_gradients(model, c), before) < 1e-6);
  for (const auto& [name, tensor] : named_weights(*model)) CHECK(at::equal(tensor, kept.at(name)));
  const NamedTensors frozen = named_weights(*model);
  CHECK(frozen.at("blocks.0.attn1.to_k.weight").storage().data() == frozen.at("blocks.0.attn1.to_q.weight").storage().data());
}

TEST_CASE("in bf16 the fp32 islands keep their values", "[unit]") {
  const VideoCase c = tiny_case({"gated"});
  VideoDit model = make_video_dit(c.config, 9, 0.3);
  NamedTensors before;
  for (const auto& [name, tensor] : named_weights(*model)) before[name] = tensor.detach().clone();
  model->to(at::kCPU, at::kBFloat16);
  const auto stays = [](const std::string& name) {
    for (const char* part : {"scale_shift_table", "time_embedder", "time_proj", "norm2", "gate"})
      if (name.find(part) != std::string::npos) return true;
    return false;
  };
  for (const auto& [name, tensor] : named_weights(*model)) {
    INFO(name);
    CHECK(tensor.scalar_type() == (stays(name) ? at::kFloat : at::kBFloat16));
    CHECK(at::equal(tensor, before.at(name).to(tensor.scalar_type())));
  }
  CHECK(run_without_gradients(model, c).scalar_type() == at::kBFloat16);
}

TEST_CASE("a residual stream in fp32 is closer to fp32 than one in bf16", "[unit]") {
  VideoCase c = tiny_case();
  double errors[2];
  for (const bool wide : {false, true}) {
    c.config.residual_dtype = wide ? "fp32" : "model";
    VideoDit model = make_video_dit(c.config, c.seed);
    CHECK(relative_error(run_without_gradients(model, c), c.wanted.at("sample")) < 1e-5);
    model->to(at::kBFloat16);
    errors[wide] = relative_error(run_without_gradients(model, c), c.wanted.at("sample"));
  }
  CHECK(errors[1] < errors[0]);
}

TEST_CASE("a video transformer's folder reads back, and names our keys only where they say something", "[unit]") {
  const TemporaryFolder folder;
  const VideoCase plain = tiny_case(), mixed = tiny_case({"linear", "gated", "softmax"}, Taylor2MapConfig{1e-10, 3});
  for (const VideoCase* c : {&plain, &mixed}) {
    VideoDit model = make_video_dit(c->config, 10);
    save_model_folder(folder.path, *model, c->config);
    CHECK(std::filesystem::exists(folder / "diffusion_pytorch_model.safetensors"));
    const std::string text = read_text_file(folder / "config.json");
    CHECK_THAT(text,
               ContainsSubstring("\"_class_name\": \"WanTransformer3DModel\"") && ContainsSubstring("\"image_dim\": null") && !ContainsSubstring("text_len"));
    CHECK((text.find("\"attention\"") != std::string::npos) == (c == &mixed));
    CHECK((text.find("\"feature_map\"") != std::string::npos) == (c == &mixed));
    VideoDit read = load_video_dit(folder.path);
    CHECK(to_json(read->config()) == to_json(c->config));
    CHECK(at::equal(run_without_gradients(read, *c), run_without_gradients(model, *c)));
  }
}

TEST_CASE("a video transformer with linear blocks comes back from the original code's naming, in shards", "[unit]") {
  const TemporaryFolder folder;
  const VideoCase c = tiny_case({"linear", "gated", "softmax"}, Taylor2MapConfig{1e-10, 3});
  VideoDit model = make_video_dit(c.config, 12);
  const std::filesystem::path source = folder / "source", target = folder / "original";
  save_model_folder(source, *model, c.config);
  WanConversion conversion;
  conversion.to = WanNaming::kOriginal;
  conversion.max_shard_bytes = 4000;
  write_conversion(WanCheckpoint(source), conversion, target);
  REQUIRE(std::filesystem::exists(target / "diffusion_pytorch_model.safetensors.index.json"));
  VideoDit read = load_video_dit(target);
  CHECK(read->config().attention == c.config.attention);
  CHECK(at::equal(run_without_gradients(read, c), run_without_gradients(model, c)));
  CHECK(load_any_model(target, "folder", at::kCPU, at::kFloat).class_name == "WanTransformer3DModel");
}

TEST_CASE("a video transformer says what does not fit", "[unit]") {
  VideoCase c = tiny_case();
  c.config.rope_max_seq_len = 5;
  c.config.text_len = 9;
  VideoDit model = make_video_dit(c.config, 11);
  const auto refuses = [&](at::IntArrayRef latents, at::IntArrayRef timestep, at::IntArrayRef text, const std::string& message) {
    CHECK_THROWS_AS(model(at::zeros(latents), at::zeros(timestep), at::zeros(text)), InputError);
    CHECK_THAT(message_of([&] { model(at::zeros(latents), at::zeros(timestep), at::zeros(text)); }), ContainsSubstring(message));
  };
  refuses({1, 4, 1, 7, 4}, {1}, {1, 2, 24}, "latents have 7 rows, wanted a multiple of the patch's 2; crop or pad the video");
  refuses({1, 4, 1, 4, 5}, {1}, {1, 2, 24}, "latents have 5 columns, wanted a multiple of the patch's 2");
  refuses({1, 4, 6, 4, 4}, {1}, {1, 2, 24},
          "latents have 6 frames, which is 6 patches; the rotary embedding has rope_max_seq_len = 5; take a smaller video or raise the key");
  refuses({1, 4, 1, 12, 4}, {1}, {1, 2, 24}, "latents have 12 rows, which is 6 patches");
  refuses({1, 4, 1, 4, 12}, {1}, {1, 2, 24}, "latents have 12 columns, which is 6 patches");
  refuses({1, 4, 0, 4, 4}, {1}, {1, 2, 24}, "latents have 0 frames");
  refuses({1, 3, 1, 4, 4}, {1}, {1, 2, 24}, "latents are [1, 3, 1, 4, 4], wanted [B, 4, F, Y, X]");
  refuses({1, 4, 4, 4}, {1}, {1, 2, 24}, "latents are [1, 4, 4, 4], wanted [B, 4, F, Y, X]");
  refuses({1, 4, 1, 4, 4}, {1}, {1, 10, 24}, "text has 10 tokens, wanted 1 to text_len = 9; cut the text or raise the key");
  refuses({1, 4, 1, 4, 4}, {1}, {1, 0, 24}, "text has 0 tokens");
  refuses({1, 4, 1, 4, 4}, {1}, {1, 2, 23}, "text is [1, 2, 23], wanted [B, L, 24]");
  refuses({1, 4, 1, 4, 4}, {2}, {1, 2, 24}, "timestep is [2], wanted [1], one a video");
  refuses({3, 4, 1, 4, 4}, {3}, {2, 2, 24}, "text has batch 2, wanted 3 as latents, or 1 for all");
}

TEST_CASE("a video transformer config that does not hold together is refused", "[unit]") {
  const auto refuses = [](const std::function<void(VideoDitConfig&)>& change, const std::string& message) {
    VideoDitConfig config = tiny_case().config;
    change(config);
    CHECK_THROWS_AS(VideoDit(config), ConfigError);
    CHECK_THAT(message_of([&] { VideoDit{config}; }), ContainsSubstring(message));
  };
  refuses([](auto& c) { c.attention = {"gated", "softmax"}; }, "attention names 2 kinds, and the model has num_layers = 3 blocks; give one kind a block");
  refuses([](auto& c) { c.patch_size = {1, 2}; }, "patch_size has 2 entries, wanted 3: frames, rows, columns");
  refuses([](auto& c) { c.attention_head_dim = 33; }, "attention_head_dim is 33, wanted an even number");
  refuses([](auto& c) { c.freq_dim = 31; }, "freq_dim is 31, wanted an even number");
  refuses([](auto& c) { c.attention_head_dim = 40, c.attention = {"linear"}; }, "attention_head_dim is 40, and linear attention is made for 32, 64, 96, 128");
  const TemporaryFolder folder;
  write_file_atomically(folder / "config.json", R"({"_class_name": "WanTransformer3DModel", "attention": ["sparse"]})");
  CHECK_THAT(message_of([&] { load_video_dit(folder.path); }), ContainsSubstring("attention") && ContainsSubstring("sparse") && ContainsSubstring("softmax"));
  write_file_atomically(folder / "config.json", R"({"_class_name": "WanTransformer3DModel", "image_dim": 1280})");
  CHECK_THAT(message_of([&] { load_video_dit(folder.path); }), ContainsSubstring("image_dim"));
  write_file_atomically(folder / "config.json", R"({"_class_name": "UNet2DModel"})");
  CHECK_THAT(message_of([&] { load_video_dit(folder.path); }), ContainsSubstring("_class_name is UNet2DModel, wanted WanTransformer3DModel"));
}
