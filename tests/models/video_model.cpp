// Captions as tokens, and a text-to-video model as a folder.
#include "models/video_model.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "core/error.h"
#include "core/files.h"
#include "models/prior.h"
#include "tests/support/support.h"

using namespace linden;
using Catch::Matchers::ContainsSubstring;
using linden::test::message_of;
using linden::test::TemporaryFolder;

namespace {

VideoModel tiny_model(int64_t text_dim = 8) {
  at::manual_seed(0);
  VideoDitConfig layout;
  layout.patch_size = {1, 2, 2};
  layout.num_attention_heads = 1;
  layout.attention_head_dim = 16;
  layout.in_channels = layout.out_channels = 1;
  layout.text_dim = 8;
  layout.text_len = 3;
  layout.ffn_dim = 16;
  layout.num_layers = 1;
  VideoModel model;
  model.transformer = VideoDit(layout);
  model.text_encoder = std::make_shared<CaptionEmbeddingImpl>(CaptionEmbeddingConfig{{"up", "down", "a"}, 3, text_dim});
  model.scheduler.shift = 3;
  model.sample_shape = {1, 2, 4, 4};
  return model;
}

}  // namespace

TEST_CASE("a learned table of words: captions, the empty one, and what it does not know", "[unit]") {
  TemporaryFolder folder;
  CaptionEmbeddingImpl encoder({{"up", "down", "a"}, 3, 8});
  const std::vector<std::string> captions = {"a up", ""};
  const at::Tensor text = encoder.encode(captions);
  CHECK(text.sizes() == at::IntArrayRef({2, 3, 8}));
  CHECK(at::equal(text[1][0], text[0][2]));  // padding
  CHECK_FALSE(at::equal(text[0][0], text[0][1]));
  encoder.forward(at::tensor({3, 1, 0}, at::kLong).unsqueeze(0)).sum().backward();
  CHECK(encoder.parameters()[0].grad().defined());
  CHECK(message_of([&] { encoder.encode(std::vector<std::string>{"a dwon"}); }) ==
        "caption \"a dwon\": the word \"dwon\" is not known; did you mean \"down\"?");
  encoder.save(folder.path, at::kFloat);
  const auto loaded = load_text_encoder(folder.path);
  CHECK(at::equal(loaded->encode(captions), text));
  CHECK(loaded->max_length() == 3);
  CHECK_THAT(message_of([] { CaptionEmbeddingImpl({{"a", "a"}, 3, 8}); }), ContainsSubstring("words has 2 entries, 1 of them different"));
  write_file_atomically(folder / "config.json", R"({"_class_name": "UMT5EncoderModel"})");
  CHECK_THAT(message_of([&] { load_text_encoder(folder.path); }),
             ContainsSubstring("_class_name is UMT5EncoderModel, and linden's text encoders are: CaptionEmbedding"));
}

TEST_CASE("a video model's folder comes back, and says what is wrong with it", "[unit]") {
  TemporaryFolder folder;
  VideoModel model = tiny_model();
  save_video_model(folder.path, model, at::kFloat);
  VideoModel loaded = load_video_model(folder.path, "folder", at::kFloat, at::kCPU);
  CHECK(loaded.sample_shape == model.sample_shape);
  CHECK(loaded.scheduler.shift == 3);
  const at::NoGradGuard no_grad;
  const at::Tensor x = at::randn({2, 1, 2, 4, 4}), t = at::tensor({900.0f, 100.0f});
  const at::Tensor text = model.text_encoder->encode(std::vector<std::string>{"a up", "a down"}),
                   none = model.text_encoder->encode(std::vector<std::string>{"", ""});
  const at::Tensor with = loaded.transformer(x, t, text), without = loaded.transformer(x, t, none);
  CHECK(at::allclose(with, model.transformer(x, t, text), 1e-4, 1e-5));
  CHECK(at::allclose(guided_velocity(loaded.transformer, {"u_plus", 2.0}, x, t, text, none), without + 2 * (with - without), 1e-4, 1e-5));
  CHECK(at::equal(guided_velocity(loaded.transformer, {"u_plus", 1.0}, x, t, text, none), with));

  save_video_model(folder / "wide", tiny_model(16), at::kFloat);
  CHECK_THAT(message_of([&] { load_video_model(folder / "wide", "folder", at::kFloat, at::kCPU); }),
             ContainsSubstring("the text encoder gives 3 tokens of 16 numbers, but the transformer takes at most 3 of 8"));
  std::filesystem::remove(folder / "model_index.json");
  CHECK_THAT(message_of([&] { load_video_model(folder.path, "folder", at::kFloat, at::kCPU); }),
             ContainsSubstring("model_index.json: there is no such file; a video model's folder holds"));
}

TEST_CASE("a video prior is a Denoiser under its caption; samplers and priors of different kinds are refused", "[unit]") {
  TemporaryFolder folder;
  save_video_model(folder.path, tiny_model(), at::kFloat);
  VideoPriorConfig video;
  video.folder = folder.path.string();
  video.caption = "a up";
  video.frames = 3;
  FlowSdeConfig sde;
  sde.num_steps = 4;
  const auto denoiser = load_denoiser(video, sde, at::kCPU);
  CHECK(denoiser->state().shape == std::vector<int64_t>{1, 3, 4, 4});
  CHECK(denoiser->network_calls_per_step() == 2);
  const at::NoGradGuard no_grad;
  const at::Tensor x = at::randn({2, 1, 3, 4, 4}), levels = at::tensor({4, 2}, at::kLong);
  const Transition moved = denoiser->step(x, levels, at::zeros_like(x), true);
  CHECK(moved.next.isfinite().all().item<bool>());
  video.caption = "a down";
  CHECK_FALSE(at::allclose(load_denoiser(video, sde, at::kCPU)->step(x, levels, at::zeros_like(x), true).next, moved.next));
  CHECK_THAT(message_of([&] { load_denoiser(video, DdimConfig{}, at::kCPU); }),
             ContainsSubstring("sampler.type ddim is for priors that predict noise, but prior.type video is a flow"));
  CHECK_THAT(message_of([&] { load_denoiser(GaussianMixturePriorConfig{}, sde, at::kCPU); }),
             ContainsSubstring("sampler.type flow_sde is for flows, but prior.type gaussian_mixture predicts noise; use ddim or ddpm"));
  CHECK_THAT(message_of([&] { load_prior(video, at::kCPU); }), ContainsSubstring("prior.type video is a flow"));
}
